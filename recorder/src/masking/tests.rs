use super::*;

fn masked(words: &[&str]) -> String {
    let mut words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    mask_arguments(&mut words);
    words.join(" ")
}

#[test]
fn options() {
    assert_eq!(masked(&["app", "--password=hunter2", "--port=80"]), "app --password=*** --port=80");
    assert_eq!(masked(&["app", "--api-key", "abc", "x"]), "app --api-key *** x");
    assert_eq!(
        masked(&["java", "-Dspring.datasource.password=p", "-jar", "a.jar"]),
        "java -Dspring.datasource.password=*** -jar a.jar"
    );
    assert_eq!(
        masked(&["app", "--password-file=/etc/p", "--max-tokens", "5"]),
        "app --password-file=/etc/p --max-tokens 5"
    );
    assert_eq!(masked(&["app", "--password", "--verbose"]), "app --password --verbose");
}

#[test]
fn programs_with_their_own_ways() {
    assert_eq!(masked(&["/usr/bin/mysql", "-uroot", "-pSECRET", "db"]), "/usr/bin/mysql -uroot -p*** db");
    assert_eq!(masked(&["mysql", "-p", "db"]), "mysql -p db");
    assert_eq!(masked(&["ssh", "-p2222", "host"]), "ssh -p2222 host");
    assert_eq!(masked(&["redis-cli", "-a", "s3cret", "ping"]), "redis-cli -a *** ping");
    assert_eq!(masked(&["curl", "-u", "me:pw", "http://h/"]), "curl -u me:*** http://h/");
    assert_eq!(masked(&["curl", "-ume:pw", "http://h/"]), "curl -ume:*** http://h/");
    assert_eq!(masked(&["sshpass", "-p", "x", "ssh", "h"]), "sshpass -p *** ssh h");
    for (words, hidden) in [
        ("docker login -u joe -p SECRET hub", "docker login -u joe -p *** hub"),
        ("mongosh -u joe -p SECRET shop", "mongosh -u joe -p *** shop"),
        ("sqlcmd -S h -U sa -P SECRET", "sqlcmd -S h -U sa -P ***"),
        ("sqlcmd -PSECRET", "sqlcmd -P***"),
        ("mosquitto_pub -h h -p 1883 -u joe -P SECRET -t a", "mosquitto_pub -h h -p 1883 -u joe -P *** -t a"),
        ("smbclient //h/s -U joe%SECRET", "smbclient //h/s -U joe%***"),
        ("smbclient //h/s -Ujoe%SECRET", "smbclient //h/s -Ujoe%***"),
        ("lftp -u joe,SECRET h", "lftp -u joe,*** h"),
        ("ldappasswd -D cn=a -w SECRET -s SECRET cn=b", "ldappasswd -D cn=a -w *** -s *** cn=b"),
        ("7z x -pSECRET a.7z", "7z x -p*** a.7z"),
        ("ab -A joe:SECRET http://h/", "ab -A joe:*** http://h/"),
        ("curl -b sid=SECRET http://h/", "curl -b sid=*** http://h/"),
        // What looks alike is another thing: ports, paths.
        ("docker run -p 80:80 img", "docker run -p 80:80 img"),
        ("mkdir -p a", "mkdir -p a"),
        ("nc -p 80 h", "nc -p 80 h"),
    ] {
        assert_eq!(masked(&words.split(' ').collect::<Vec<_>>()), hidden);
    }
}

#[test]
fn scripts_in_one_argument() {
    for (script, hidden) in [
        ("mysql -uroot -pSECRET shop", "mysql -uroot -p*** shop"),
        ("true --password SECRET --db-pass=SECRET; exit", "true --password *** --db-pass=***; exit"),
        ("cd /a && redis-cli -a SECRET; ls -a b", "cd /a && redis-cli -a ***; ls -a b"),
        (
            "A=1 /usr/bin/curl -u 'joe:SECRET' http://h | cat -u me:you",
            "A=1 /usr/bin/curl -u joe:*** http://h | cat -u me:you",
        ),
        ("while :; do\n  sshpass -p SECRET ssh h\ndone", "while :; do\n  sshpass -p *** ssh h\ndone"),
        ("app --token SECRET&", "app --token ***&"),
        ("echo --token; echo plain", "echo --token; echo plain"),
        ("ls -la /tmp", "ls -la /tmp"),
    ] {
        assert_eq!(masked(&["sh", "-c", script]), format!("sh -c {hidden}"));
    }
}

#[test]
fn texts() {
    assert_eq!(masked(&["env", "PGPASSWORD=x", "psql"]), "env PGPASSWORD=*** psql");
    assert_eq!(masked(&["sh", "-c", "PGPASSWORD=x psql -c 'select 1'"]), "sh -c PGPASSWORD=*** psql -c 'select 1'");
    assert_eq!(masked(&["a", "postgres://u:p@h:5432/d"]), "a postgres://u:***@h:5432/d");
    assert_eq!(masked(&["a", "redis://:p@h"]), "a redis://:***@h");
    assert_eq!(masked(&["a", "http://h/x?q=a:b@c"]), "a http://h/x?q=a:b@c");
    assert_eq!(masked(&["a", "amqp://u:p@h,amqp://v:q@i"]), "a amqp://u:***@h,amqp://v:***@i");
    assert_eq!(masked(&["curl", "-H", "Authorization: Basic YTpi"]), "curl -H Authorization: ***");
    assert_eq!(masked(&["curl", "-H", "X-Thing: 1", "-H", "cookie: a=b; c=d"]), "curl -H X-Thing: 1 -H cookie: ***");
    assert_eq!(masked(&["a", r#"{"password":"x","b":1}"#]), r#"a {"password":"***","b":1}"#);
    assert_eq!(masked(&["a", "http://h/?token=abc&x=1"]), "a http://h/?token=***&x=1");
    assert_eq!(masked(&["postgres: user db 127.0.0.1(5000) idle"]), "postgres: user db 127.0.0.1(5000) idle");
}

#[test]
fn counts_and_hostile_input() {
    let mut words = vec!["a".to_owned(), "--token=x".into(), "plain".into(), "ftp://u:p@h".into()];
    assert_eq!(mask_arguments(&mut words), 2);
    assert_eq!(mask_arguments(&mut words), 0);
    let odd = [
        "=",
        ":",
        "://",
        "://:@",
        "é=é",
        "pwd=é",
        "éauthorization:é",
        "bearer ",
        "İ: bearer İ",
        "",
        "password=\"\"",
        "a://b:ü@",
    ];
    for a in odd {
        for b in odd {
            masked(&[a, b, &format!("{a}{b}{a}")]);
        }
    }
}
