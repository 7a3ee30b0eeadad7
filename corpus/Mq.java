// The workload of activemq.pcap.zst: an ActiveMQ broker and its client in one process, four connections, one for each pair of
// encodings and caches; recorded as zmq.pcap.zst (see zmq.py). Debian: activemq. Run: java -cp "/usr/share/java/*" Mq.java
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.ActiveMQConnectionFactory;
import javax.jms.*;
public class Mq {
  static void go(String url, String q) throws Exception {
    ActiveMQConnectionFactory f = new ActiveMQConnectionFactory(url);
    Connection c = f.createConnection("admin", "secret"); c.setClientID("cl" + q); c.start();
    Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
    MessageProducer p = s.createProducer(s.createQueue(q));
    MessageConsumer k = s.createConsumer(s.createQueue(q));
    for (int i = 0; i < 6; i++) {
      TextMessage m = s.createTextMessage("hello " + i);
      m.setStringProperty("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033" + String.format("%02d", i) + "-01");
      m.setJMSCorrelationID("corr-" + i);
      if (i % 3 == 0) m.setIntProperty("n", i);
      p.send(m);
      Message r = k.receive(2000); if (r == null) System.out.println("lost " + i);
    }
    BytesMessage b = s.createBytesMessage(); b.writeBytes(new byte[9000]); p.send(b); k.receive(2000);
    MapMessage mm = s.createMapMessage(); mm.setString("a", "b"); p.send(mm); k.receive(2000);
    Session t = c.createSession(true, Session.SESSION_TRANSACTED);
    MessageProducer tp = t.createProducer(t.createTopic("prices"));
    for (int i = 0; i < 3; i++) tp.send(t.createTextMessage("p" + i));
    t.commit(); tp.send(t.createTextMessage("no")); t.rollback();
    try { s.createConsumer(s.createQueue(q), "a = 'unclosed"); } catch (JMSException e) { System.out.println("error " + e.getMessage()); }
    try { s.unsubscribe("nosuch"); } catch (JMSException e) { System.out.println("error " + e.getMessage()); }
    c.close();
  }
  public static void main(String[] a) throws Exception {
    BrokerService b = new BrokerService(); b.setPersistent(false); b.setUseJmx(false);
    b.addConnector("tcp://127.0.0.1:61616");
    b.addConnector("tcp://127.0.0.1:7777?wireFormat.tightEncodingEnabled=false&wireFormat.cacheEnabled=false");
    b.start();
    go("tcp://127.0.0.1:61616", "orders");
    go("tcp://127.0.0.1:61616?wireFormat.tightEncodingEnabled=false", "loose");
    go("tcp://127.0.0.1:61616?wireFormat.cacheEnabled=false", "nocache");
    go("tcp://127.0.0.1:7777", "plain");
    b.stop(); System.exit(0);
  }
}
