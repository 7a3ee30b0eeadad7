use super::*;

#[test]
fn durations() {
    assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
    assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
    assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
    for wrong in ["", "0s", "5x", "m", "5m3", "99999999999999999999s", "-3s", "5 m"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn sizes() {
    assert_eq!(size("200MB"), Ok(200_000_000));
    assert_eq!(size("2GB"), Ok(2_000_000_000));
    assert_eq!(size("64KiB"), Ok(65_536));
    assert_eq!(size("0"), Ok(0));
    for wrong in ["", "MB", "5 parsecs", "99999999999TB", "-1"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn command_after_dashes() {
    let args = Args::try_parse_from(["record", "--duration", "5s", "-i", "eth0", "-i", "lo", "--", "curl", "-s", "x"])
        .unwrap();
    assert_eq!(args.interfaces, ["eth0", "lo"]);
    assert_eq!(args.command, ["curl", "-s", "x"]);
    assert_eq!((args.payload, args.snaplen, args.frequency, args.max_size), (512, 192, 99, 2_000_000_000));
    assert!(Args::try_parse_from(["record", "-F", "0"]).is_err());
    assert!(Args::try_parse_from(["record", "stray"]).is_err());
}
