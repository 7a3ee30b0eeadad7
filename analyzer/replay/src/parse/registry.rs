//! The protocols that are known. To add one: its folder, and its line here.

use super::{
    Protocol, amqp, amqp1, brpc, cassandra, dameng, dhcp, dns, dtls, dubbo, fastcgi, http1, http2, icmp, imap, iso8583,
    kafka, ldap, memcached, mongodb, mqtt, mysql, mysqlx, nats, ntp, openvpn, openwire, oracle, pop3, postgresql,
    proxy, pulsar, quic, radius, redis, rocketmq, sip, smb, smtp, snmp, sofarpc, some_ip, syslog, tars, tds, thrift,
    tls, trpc, uwsgi, websocket, websphere_mq, zmtp, zookeeper,
};

/// All protocols, those that are told most surely first: of two that are equally sure the first wins.
pub(super) static ALL: &[&Protocol] = &[
    &http1::PROTOCOL,
    &http2::PROTOCOL,
    &websocket::PROTOCOL,
    &tls::PROTOCOL,
    &postgresql::PROTOCOL,
    &mysql::PROTOCOL,
    &redis::PROTOCOL,
    &mongodb::PROTOCOL,
    &mqtt::PROTOCOL,
    &amqp::PROTOCOL,
    &amqp1::PROTOCOL,
    &nats::PROTOCOL,
    &memcached::PROTOCOL,
    &kafka::PROTOCOL,
    &fastcgi::PROTOCOL,
    &uwsgi::PROTOCOL,
    &dubbo::PROTOCOL,
    &tds::PROTOCOL,
    &pulsar::PROTOCOL,
    &rocketmq::PROTOCOL,
    &brpc::PROTOCOL,
    &sofarpc::PROTOCOL,
    &trpc::PROTOCOL,
    &openwire::PROTOCOL,
    &oracle::PROTOCOL,
    &websphere_mq::PROTOCOL,
    &some_ip::PROTOCOL,
    &dameng::PROTOCOL,
    &iso8583::PROTOCOL,
    &zookeeper::PROTOCOL,
    &zmtp::PROTOCOL,
    &tars::PROTOCOL,
    &thrift::PROTOCOL,
    &mysqlx::PROTOCOL,
    &cassandra::PROTOCOL,
    &smtp::PROTOCOL,
    &ldap::PROTOCOL,
    &dns::PROTOCOL,
    &dns::NETBIOS,
    &quic::PROTOCOL,
    &dtls::PROTOCOL,
    &openvpn::PROTOCOL,
    &icmp::PROTOCOL,
    &imap::PROTOCOL,
    &pop3::PROTOCOL,
    &proxy::PROTOCOL,
    &sip::SIP,
    &sip::RTSP,
    &sip::SSDP,
    &smb::PROTOCOL,
    &dhcp::PROTOCOL,
    &snmp::PROTOCOL,
    &syslog::PROTOCOL,
    &radius::PROTOCOL,
    &ntp::PROTOCOL,
];

/// The protocol's bit in a set of protocols.
pub(super) fn bit(protocol: &'static Protocol) -> u64 {
    let place = ALL.iter().position(|other| std::ptr::eq(*other, protocol)).unwrap_or(63);
    1 << place.min(63)
}

/// The protocol of that name.
pub(super) fn by_name(name: &str) -> Option<&'static Protocol> {
    ALL.iter().find(|protocol| protocol.name == name).copied()
}
