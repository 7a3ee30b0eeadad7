//! Redis commands and replies as rows see them.

use super::super::Detection;
use super::super::mask::{MASK, Masker, Secret, is_secret_name, is_token};
use super::super::text::{clean, clean_to};
use crate::model::{RequestFields, Side, Status};

/// Words of a command that are kept.
const WORD_LIMIT: usize = 64;
/// Bytes of a command line that are kept.
const LINE_LIMIT: usize = 1024;

/// An optional sign and decimal digits.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let number = digits
        .iter()
        .try_fold(0_i64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))?;
    Some(if negative { -number } else { number })
}

/// The first string of an array: whether it is a command's name. `None`: not enough bytes. `Some(None)`: not RESP.
pub(super) fn first_word(bytes: &[u8]) -> Option<Option<bool>> {
    let end = memchr::memchr(b'\n', bytes.get(..16).unwrap_or(bytes));
    let Some(end) = end else {
        return if bytes.len() >= 16 { Some(None) } else { None };
    };
    let Some(len) = bytes.get(1..end).map(<[u8]>::trim_ascii_end).and_then(integer) else {
        return Some(None);
    };
    let Ok(len) = usize::try_from(len) else {
        return Some(Some(false));
    };
    let rest = bytes.get(end + 1..).unwrap_or_default();
    if len > 32 {
        return Some(Some(false));
    }
    let word = rest.get(..len)?;
    Some(Some(is_command(word)))
}

/// Commands of the core and of the usual modules.
fn is_command(word: &[u8]) -> bool {
    const COMMANDS: &str = " ACL APPEND ASKING AUTH BGREWRITEAOF BGSAVE BITCOUNT BITFIELD BITOP BITPOS BLMOVE BLMPOP BLPOP \
        BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT CLUSTER COMMAND CONFIG COPY DBSIZE DEBUG DECR DECRBY DEL DISCARD \
        DUMP ECHO EVAL EVALSHA EVAL_RO EVALSHA_RO EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FAILOVER FCALL FCALL_RO FLUSHALL \
        FLUSHDB FUNCTION GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE \
        GETSET HDEL HELLO HEXISTS HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSCAN HSET HSETNX \
        HSTRLEN HVALS INCR INCRBY INCRBYFLOAT INFO KEYS LASTSAVE LATENCY LCS LINDEX LINSERT LLEN LMOVE LMPOP LOLWUT LPOP \
        LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MEMORY MGET MIGRATE MODULE MONITOR MOVE MSET MSETNX MULTI OBJECT PERSIST \
        PEXPIRE PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFMERGE PING PSETEX PSUBSCRIBE PSYNC PTTL PUBLISH PUBSUB PUNSUBSCRIBE \
        QUIT RANDOMKEY READONLY READWRITE RENAME RENAMENX REPLCONF REPLICAOF RESET RESTORE ROLE RPOP RPOPLPUSH RPUSH RPUSHX \
        SADD SAVE SCAN SCARD SCRIPT SDIFF SDIFFSTORE SELECT SENTINEL SET SETBIT SETEX SETNX SETRANGE SHUTDOWN SINTER \
        SINTERCARD SINTERSTORE SISMEMBER SLAVEOF SLOWLOG SMEMBERS SMISMEMBER SMOVE SORT SORT_RO SPOP SPUBLISH SRANDMEMBER \
        SREM SSCAN SSUBSCRIBE STRLEN SUBSCRIBE SUBSTR SUNION SUNIONSTORE SUNSUBSCRIBE SWAPDB SYNC TIME TOUCH TTL TYPE UNLINK \
        UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN XPENDING XRANGE XREAD \
        XREADGROUP XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZDIFF ZINCRBY ZINTER ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX \
        ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYSCORE ZREVRANGE \
        ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE ";
    if word.is_empty() || word.len() > 24 {
        return false;
    }
    if word.contains(&b'.') {
        // Module commands: JSON.SET, FT.SEARCH.
        return word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    }
    let mut upper = [b' '; 26];
    for (to, from) in upper.iter_mut().skip(1).zip(word) {
        *to = from.to_ascii_uppercase();
    }
    upper.get(..word.len() + 2).is_some_and(|needle| memchr::memmem::find(COMMANDS.as_bytes(), needle).is_some())
}

/// A line that could be an inline command.
pub(super) fn inline_guess(bytes: &[u8], end: usize) -> Detection {
    let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let text = line.iter().all(|byte| (0x20..0x7f).contains(byte));
    if text && is_command(word) {
        // `get k` is memcached's too, so this needs the usual port.
        Detection::Yes { confidence: 25, from: Some(Side::Client) }
    } else {
        Detection::No
    }
}

/// Text behind `-` that reads as an error: a word in capitals.
pub(super) fn is_error(text: &[u8]) -> bool {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    word.len() >= 3 && word.iter().all(u8::is_ascii_uppercase)
}

/// What of a command matters for its reply.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) one_way: bool,
    pub(super) subscribes: bool,
    pub(super) hello3: bool,
    pub(super) replicates: bool,
    pub(super) monitors: bool,
    /// CLIENT REPLY: whether replies are wanted from now on; `Skip`: not to this command and the next.
    pub(super) replies: Option<Replies>,
}

/// What CLIENT REPLY says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    On,
    Off,
    Skip,
}

/// A command that is being read; its memory is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Command {
    /// The words, a space between them.
    line: Vec<u8>,
    /// Where the words are in it; [`WORD_LIMIT`] at most.
    words: Vec<(usize, usize)>,
    count: usize,
    /// A word was not captured in full.
    pub(super) cut: bool,
}

impl Command {
    /// Ready for another one.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.words.clear();
        (self.count, self.cut) = (0, false);
    }

    /// Adds a word, of which `kept` is the beginning and `len` the length.
    pub(super) fn word(&mut self, kept: &[u8], len: u64, cut: bool) {
        self.count += 1;
        self.cut |= cut;
        if self.words.len() < WORD_LIMIT && self.line.len() < LINE_LIMIT {
            if !self.words.is_empty() {
                self.line.push(b' ');
            }
            let from = self.line.len();
            self.line.extend_from_slice(kept);
            if (kept.len() as u64) < len {
                self.line.extend_from_slice(b"...");
            }
            self.words.push((from, self.line.len()));
        }
    }

    /// A command as typed into a terminal.
    pub(super) fn inline(line: &[u8]) -> Option<Self> {
        let mut command = Self::default();
        for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            let kept = word.get(..256).unwrap_or(word);
            command.word(kept, word.len() as u64, false);
        }
        let first = command.get(0)?;
        first.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_')).then_some(command)
    }

    fn get(&self, place: usize) -> Option<&[u8]> {
        let (from, to) = *self.words.get(place)?;
        self.line.get(from..to)
    }

    fn is(&self, place: usize, word: &str) -> bool {
        self.get(place).is_some_and(|own| own.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// What its reply needs to know.
    pub(super) fn asked(&self) -> Asked {
        let subscribes = self.get(0).is_some_and(|word| {
            word.len() >= 9 && word.get(word.len() - 9..).is_some_and(|end| end.eq_ignore_ascii_case(b"subscribe"))
        });
        Asked {
            one_way: self.is(0, "REPLCONF") && (self.is(1, "ACK") || self.is(1, "GETACK")),
            subscribes,
            hello3: self.is(0, "HELLO") && self.is(1, "3"),
            replicates: self.is(0, "PSYNC") || self.is(0, "SYNC"),
            monitors: self.is(0, "MONITOR"),
            replies: if !(self.is(0, "CLIENT") && self.is(1, "REPLY")) {
                None
            } else if self.is(2, "OFF") {
                Some(Replies::Off)
            } else if self.is(2, "SKIP") {
                Some(Replies::Skip)
            } else {
                Some(Replies::On)
            },
        }
    }

    /// Places of passwords: AUTH, HELLO .. AUTH, ACL SETUSER, CONFIG SET requirepass, MIGRATE .. AUTH.
    fn secrets(&self) -> Vec<usize> {
        let places = 0..self.words.len();
        if self.is(0, "AUTH") {
            places.skip(1).collect()
        } else if self.is(0, "HELLO") || self.is(0, "MIGRATE") {
            let auth = places.clone().find(|place| self.is(*place, "AUTH") || self.is(*place, "AUTH2"));
            auth.map(|at| places.skip(at + 1).take(2).collect()).unwrap_or_default()
        } else if self.is(0, "ACL") && self.is(1, "SETUSER") {
            let secret = |place: &usize| {
                self.get(*place).is_some_and(|word| matches!(word.first(), Some(b'>' | b'<' | b'#' | b'!')))
            };
            places.skip(3).filter(secret).collect()
        } else if self.is(0, "CONFIG") && self.is(1, "SET") {
            let mut secret = false;
            let hidden = |place: &usize| {
                let hide = secret;
                let name = self.get(*place).unwrap_or_default().to_ascii_lowercase();
                secret = !secret && (name.ends_with(b"pass") || name.ends_with(b"auth") || name.ends_with(b"password"));
                hide
            };
            places.skip(2).filter(hidden).collect()
        } else {
            self.values(places)
        }
    }

    /// Places of values that are written under a key or field named like a secret, or look like one themselves.
    fn values(&self, places: std::ops::Range<usize>) -> Vec<usize> {
        const WRITES: [&str; 12] = [
            "SET", "SETNX", "GETSET", "APPEND", "SETEX", "PSETEX", "HSET", "HMSET", "HSETNX", "LPUSH", "RPUSH", "SADD",
        ];
        let Some(verb) = WRITES.iter().position(|word| self.is(0, word)) else {
            return Vec::new();
        };
        let text = |place: usize| self.get(place).and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default();
        let under = is_secret_name(text(1));
        let is_value = |place: &usize| match verb {
            0..=3 => *place == 2,
            // A time stands before the value.
            4 | 5 => *place == 3,
            6..=8 => *place > 2 && place % 2 == 1,
            _ => *place > 1,
        };
        let named = |place: usize| (6..=8).contains(&verb) && is_secret_name(text(place - 1));
        places.filter(is_value).filter(|place| under || named(*place) || is_token(text(*place))).collect()
    }

    /// As a row.
    pub(super) fn fields(&mut self, mask: &mut Masker) -> RequestFields {
        let mut name = [0_u8; 32];
        let first = self.get(0).unwrap_or_default();
        let first = first.get(..name.len()).unwrap_or(first);
        let name = name.get_mut(..first.len()).unwrap_or_default();
        name.copy_from_slice(first);
        name.make_ascii_uppercase();
        let request_type = clean_to(name, 32);
        let secrets = if mask.shows() { Vec::new() } else { self.secrets() };
        let request_resource = if secrets.is_empty() {
            if self.count > self.words.len() {
                self.line.extend_from_slice(b" ...");
            }
            clean(&self.line)
        } else {
            let kind = if self.is(0, "AUTH") || self.is(0, "HELLO") { Secret::Login } else { Secret::Value };
            mask.hid(kind, secrets.len() as u64);
            let word = |place: usize| {
                if secrets.contains(&place) { MASK.as_bytes() } else { self.get(place).unwrap_or_default() }
            };
            let words: Vec<&[u8]> = (0..self.words.len()).map(word).collect();
            let mut line = words.join(&b' ');
            if self.count > self.words.len() {
                line.extend_from_slice(b" ...");
            }
            clean(&line)
        };
        // Who says goodbye need not wait for the answer.
        let status = if &*request_type == "QUIT" { Status::Ok } else { Status::Unknown };
        RequestFields { l7_protocol: "redis", request_type, request_resource, status, ..RequestFields::default() }
    }
}

/// What the server sends unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// Of a subscription or its end.
    Confirmation,
    /// A message, an invalidation.
    Message,
}

/// A reply that is being read: the outermost element, and the first words inside.
#[derive(Debug, Default)]
pub(super) struct Reply {
    kind: u8,
    text: Vec<u8>,
    null: bool,
    count: u64,
    words: Vec<Vec<u8>>,
    /// Type byte of the bulk string whose bytes come next.
    pub(super) bulk_kind: u8,
}

impl Reply {
    /// An aggregate begins.
    pub(super) fn aggregate(&mut self, outermost: bool, kind: u8, count: u64, null: bool) {
        if outermost {
            self.kind = kind;
            self.count = count;
            self.null = null;
        }
    }

    /// A value.
    pub(super) fn scalar(&mut self, outermost: bool, kind: u8, text: &[u8]) {
        let text = text.get(..256).unwrap_or(text);
        if outermost {
            self.kind = kind;
            if !matches!(kind, b'$' | b'=') {
                // A string's bytes are data, which rows do not hold.
                self.text = text.to_vec();
            }
        } else if matches!(self.kind, b'>' | b'*') && self.words.len() < 2 {
            self.words.push(text.to_vec());
        }
    }

    /// Whether enough was seen to tell what it is.
    pub(super) fn has_begun(&self) -> bool {
        self.kind != 0
    }

    /// Whether it is an error.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }

    /// A line of MONITOR: seconds, a point, microseconds, then who asked what.
    pub(super) fn is_monitored(&self) -> bool {
        let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.kind == b'+' && digits >= 9 && self.text.get(digits) == Some(&b'.')
    }

    /// Whether it is unasked for: RESP3 says so, in RESP2 it depends on being subscribed.
    pub(super) fn push(&self, subscribed: bool) -> Option<Push> {
        if !matches!(self.kind, b'>' | b'*') {
            return None;
        }
        let word = self.words.first().map(Vec::as_slice).unwrap_or_default();
        match word {
            b"subscribe" | b"psubscribe" | b"ssubscribe" | b"unsubscribe" | b"punsubscribe" | b"sunsubscribe" => {
                (subscribed || self.kind == b'>').then_some(Push::Confirmation)
            }
            b"message" if self.count == 3 => (subscribed || self.kind == b'>').then_some(Push::Message),
            b"pmessage" | b"smessage" if subscribed => Some(Push::Message),
            _ => (self.kind == b'>').then_some(Push::Message),
        }
    }

    /// A push as a row of its own.
    pub(super) fn pushed(&self, version: &'static str) -> RequestFields {
        let word = |place: usize| self.words.get(place).map(Vec::as_slice).unwrap_or_default();
        RequestFields {
            l7_protocol: "redis",
            version,
            request_type: clean_to(word(0), 32),
            request_resource: clean_to(word(1), 256),
            status: Status::Ok,
            ..RequestFields::default()
        }
    }

    /// What a reply adds. Its values are data and stay out; only what kind they are is told.
    pub(super) fn fields(&self, version: &'static str) -> RequestFields {
        let mut fields =
            RequestFields { l7_protocol: "redis", version, status: Status::Ok, ..RequestFields::default() };
        if self.is_failure() {
            fields.status = Status::ServerError;
            fields.exception = clean_to(&self.text, 512);
            return fields;
        }
        fields.result = match self.kind {
            b'+' => clean_to(&self.text, 64),
            b':' => "Integer".into(),
            b'$' | b'=' => "BulkString".into(),
            b'_' => "Null".into(),
            b'*' if self.null => "Null".into(),
            b'*' => "Array".into(),
            b'%' => "Map".into(),
            b'~' => "Set".into(),
            b'#' => "Boolean".into(),
            b',' => "Double".into(),
            b'(' => "BigNumber".into(),
            b'>' => "Push".into(),
            _ => "".into(),
        };
        fields
    }
}
