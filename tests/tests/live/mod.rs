//! Live recordings of this kernel.

mod counts;
mod cpu;
mod gateways;
mod hops;
mod logs;
mod losses;
mod multiplexed;
mod odd;
mod retransmits;
mod secrets;
mod servers;
mod shop;
mod traces;
mod ways;
mod web;

use crate::Test;

/// Name and function of each live test.
pub(crate) const TESTS: &[Test] = &[
    ("live::shop::fresh_upstream", shop::fresh_upstream),
    ("live::shop::keep_alive_upstream", shop::keep_alive_upstream),
    ("live::servers::mariadb", servers::mariadb),
    ("live::servers::caches", servers::caches),
    ("live::servers::names", servers::names),
    ("live::servers::queues", servers::queues),
    ("live::web::sizes", web::sizes),
    ("live::web::apache", web::apache),
    ("live::web::tls", web::tls),
    ("live::gateways::fastcgi_and_uwsgi", gateways::fastcgi_and_uwsgi),
    ("live::multiplexed::grpc", multiplexed::grpc),
    ("live::multiplexed::http2", multiplexed::http2),
    ("live::traces::a_thread_per_connection", traces::a_thread_per_connection),
    ("live::traces::work_handed_over", traces::work_handed_over),
    ("live::traces::an_event_loop", traces::an_event_loop),
    ("live::traces::coroutines", traces::coroutines),
    ("live::traces::an_executor", traces::an_executor),
    ("live::odd::processes_that_come_and_go", odd::processes),
    ("live::odd::descriptors_that_move", odd::descriptors),
    ("live::counts::packets_and_bytes_equal_the_kernels_and_tsharks", counts::equal_kernel_and_tshark),
    ("live::cpu::hot_function_on_top", cpu::hot_function_on_top),
    ("live::secrets::are_not_in_the_bundle", secrets::are_not_in_the_bundle),
    ("live::secrets::of_mariadb_are_not_in_the_bundle", secrets::of_mariadb),
    ("live::hops::delay_and_loss_are_found_where_they_are", hops::delay_and_loss_are_found),
    ("live::ways::each_hop_and_transport", ways::each_hop_and_transport),
    ("live::retransmits::are_the_kernels", retransmits::are_the_kernels),
    ("live::losses::none_at_100k_events_per_second", losses::none_at_100k_events_per_second),
    ("live::losses::small_ring_is_reported", losses::small_ring_is_reported),
    ("live::losses::packets_past_the_hooks_are_counted", losses::packets_past_the_hooks),
    ("live::losses::killed_recorder_leaves_a_readable_bundle", losses::killed_recorder),
];
