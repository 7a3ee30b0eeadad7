//! SQL as rows see it: literals replaced by `?`, `VERB table` to group by, trace context from comments.
//!
//! A small tokenizer that reads any dialect well enough and never fails; cut statements are fine.

use super::mask::{Masker, Secret};
use super::text::{clean, clean_to};
use super::trace_context;
use crate::model::RequestFields;

/// Bytes of a statement that are looked at.
pub(super) const STATEMENT_LIMIT: usize = 8192;

/// What differs between dialects here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `"name"`, `$tag$text$tag$`, `--` comments; Oracle, CQL and others that have no more than that, with Oracle's `q'[text]'`.
    PostgreSql,
    /// `"text"`, `` `name` ``, backslashes in text, `#` comments.
    MySql,
    /// `"name"`, `[name]`, `--` comments, no backslashes in text.
    SqlServer,
}

/// A statement as rows see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    /// Text, literals masked unless secrets are shown.
    pub(super) text: Box<str>,
    /// `VERB table`.
    pub(super) endpoint: Box<str>,
    /// Trace context found in comments.
    context: Option<Box<RequestFields>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    Quoted(&'a [u8]),
    Literal,
    Comment(&'a [u8]),
    Space,
    Mark(u8),
}

struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    dialect: Dialect,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@' | 0x80..)
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (Token<'a>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let first = *rest.first()?;
        let second = rest.get(1).copied().unwrap_or_default();
        let span = |test: fn(u8) -> bool| rest.iter().position(|byte| !test(*byte)).unwrap_or(rest.len());
        let (kind, len) = match first {
            b' ' | b'\t' | b'\r' | b'\n' => (0, span(|byte| byte.is_ascii_whitespace())),
            b'\'' => (1, quoted(rest, b'\'', self.dialect == Dialect::MySql)),
            b'"' if self.dialect == Dialect::MySql => (1, quoted(rest, b'"', true)),
            b'"' => (2, quoted(rest, b'"', false)),
            b'[' if self.dialect == Dialect::SqlServer => (2, quoted(rest, b']', false)),
            b'`' => (2, quoted(rest, b'`', false)),
            b'-' if second == b'-' => (3, line(rest)),
            b'#' if self.dialect == Dialect::MySql => (3, line(rest)),
            b'/' if second == b'*' => (3, memchr::memmem::find(rest, b"*/").map_or(rest.len(), |at| at + 2)),
            b'$' if self.dialect == Dialect::PostgreSql && !second.is_ascii_digit() => match dollar(rest) {
                Some(len) => (1, len),
                None => (5, 1),
            },
            b'0'..=b'9' => (1, span(|byte| byte.is_ascii_alphanumeric() || byte == b'.')),
            // Oracle's own quotes: q'[..]', q'!..!', nq'..'.
            b'q' | b'Q' if second == b'\'' && self.dialect == Dialect::PostgreSql => (1, 1 + delimited(rest)),
            b'n' | b'N'
                if matches!(second, b'q' | b'Q')
                    && rest.get(2) == Some(&b'\'')
                    && self.dialect == Dialect::PostgreSql =>
            {
                (1, 2 + delimited(rest.get(1..).unwrap_or_default()))
            }
            // Text with a prefix: E'..', N'..', X'..', B'..', _utf8'..'. Backslashes mean something in PostgreSQL's E'..' only.
            b'e' | b'E' | b'n' | b'N' | b'x' | b'X' | b'b' | b'B' if second == b'\'' => {
                let escapes = self.dialect == Dialect::MySql
                    || self.dialect == Dialect::PostgreSql && matches!(first, b'e' | b'E');
                (1, 1 + quoted(rest.get(1..).unwrap_or_default(), b'\'', escapes))
            }
            first if is_word(first) => (4, span(is_word)),
            _ => (5, 1),
        };
        let text = rest.get(..len.max(1)).unwrap_or(rest);
        self.at += text.len();
        let token = match kind {
            0 => Token::Space,
            1 => Token::Literal,
            2 => Token::Quoted(text.get(1..text.len().saturating_sub(1)).unwrap_or_default()),
            3 => Token::Comment(text),
            4 => Token::Word(text),
            _ => Token::Mark(first),
        };
        Some((token, text))
    }
}

/// Length of what stands in quotes, doubled and (if so said) escaped ones inside.
fn quoted(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == b'\\' && escapes {
            at += 1;
        } else if *byte == quote {
            if bytes.get(at) == Some(&quote) {
                at += 1;
            } else {
                return at;
            }
        }
    }
    bytes.len()
}

/// Length, behind the `q`, of `q'[text]'`: it ends with the mark that belongs to the first one, and a quote.
fn delimited(bytes: &[u8]) -> usize {
    let end = match bytes.get(2).copied() {
        Some(b'[') => b']',
        Some(b'(') => b')',
        Some(b'{') => b'}',
        Some(b'<') => b'>',
        Some(mark) => mark,
        None => return bytes.len().saturating_sub(1),
    };
    let body = bytes.get(3..).unwrap_or_default();
    memchr::memmem::find(body, &[end, b'\'']).map_or(bytes.len() - 1, |at| at + 4)
}

fn line(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())
}

/// Length of `$tag$text$tag$`.
fn dollar(bytes: &[u8]) -> Option<usize> {
    let end = bytes.get(1..66).unwrap_or_else(|| bytes.get(1..).unwrap_or_default());
    let end = end.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))? + 1;
    if bytes.get(end) != Some(&b'$') {
        return None;
    }
    let tag = bytes.get(..=end)?;
    let body = bytes.get(end + 1..)?;
    Some(memchr::memmem::find(body, tag).map_or(bytes.len(), |at| end + 1 + at + tag.len()))
}

/// Reads a statement.
pub(super) fn statement(bytes: &[u8], dialect: Dialect, mask: &mut Masker) -> Statement {
    let bytes = bytes.get(..STATEMENT_LIMIT).unwrap_or(bytes).trim_ascii();
    let mut text = Vec::with_capacity(bytes.len());
    let mut context = None;
    let mut hidden = 0;
    let mut namer = Namer::default();
    for (token, source) in (Tokens { bytes, at: 0, dialect }) {
        namer.see(token);
        match token {
            Token::Literal => {
                hidden += 1;
                text.push(b'?');
            }
            Token::Comment(comment) => commenter(comment, &mut context),
            _ => text.extend_from_slice(source),
        }
    }
    let endpoint = namer.endpoint();
    if mask.shows() {
        return Statement { text: clean(bytes), endpoint, context };
    }
    mask.hid(Secret::Literal, hidden);
    Statement { text: clean(text.trim_ascii()), endpoint, context }
}

impl Statement {
    /// Puts it into a row.
    pub(super) fn fill(&self, fields: &mut RequestFields) {
        fields.request_resource = self.text.clone();
        fields.endpoint = self.endpoint.clone();
        if let Some(context) = &self.context {
            fields.trace_id = context.trace_id.clone();
            fields.span_id = context.span_id.clone();
            fields.parent_span_id = context.parent_span_id.clone();
            fields.x_request_id = context.x_request_id.clone();
        }
    }
}

/// sqlcommenter: `key='value'` pairs, joined by commas, percent-encoded.
fn commenter(comment: &[u8], context: &mut Option<Box<RequestFields>>) {
    let inner = comment.strip_prefix(b"/*").and_then(|rest| rest.strip_suffix(b"*/")).unwrap_or(comment);
    for pair in inner.split(|byte| *byte == b',').take(32) {
        let Some(equals) = memchr::memchr(b'=', pair) else {
            continue;
        };
        let (name, value) = pair.split_at_checked(equals).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")).unwrap_or(value);
        let mut found = context.take().unwrap_or_default();
        let taken = trace_context::header(name.trim_ascii(), value, &mut found);
        if taken || !found.trace_id.is_empty() {
            *context = Some(found);
        }
    }
}

/// Finds verb and table as the tokens go by.
#[derive(Default)]
struct Namer<'a> {
    verb: &'a [u8],
    table: Vec<&'a [u8]>,
    state: State,
    depth: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The verb comes.
    #[default]
    Verb,
    /// WITH: the verb comes after the parentheses.
    With,
    /// The table comes behind this word.
    Behind(&'static str),
    /// The table comes, some words may stand before it.
    Table,
    /// A part of the name has come; a dot goes on with it.
    Named,
    /// A dot has come.
    Dot,
    /// Known.
    Done,
}

const BEFORE_TABLE: [&str; 18] = [
    "ONLY",
    "IGNORE",
    "LOW_PRIORITY",
    "DELAYED",
    "HIGH_PRIORITY",
    "INTO",
    "TABLE",
    "IF",
    "NOT",
    "EXISTS",
    "QUICK",
    "TEMPORARY",
    "TEMP",
    "UNLOGGED",
    "OR",
    "REPLACE",
    "FROM",
    "LATERAL",
];

impl<'a> Namer<'a> {
    fn see(&mut self, token: Token<'a>) {
        let is = |word: &[u8], other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        match token {
            Token::Mark(b'(') => {
                self.depth += 1;
                if self.state == State::Table {
                    // FROM (SELECT ... FROM table): the inner one tells.
                    self.state = State::Behind("FROM");
                } else if self.state == State::Named {
                    self.state = State::Done;
                }
                return;
            }
            Token::Mark(b')') => {
                self.depth = self.depth.saturating_sub(1);
                if self.state == State::Named {
                    self.state = State::Done;
                }
                return;
            }
            Token::Space | Token::Comment(_) => return,
            _ => {}
        }
        match (self.state, token) {
            (State::Verb, Token::Word(word)) if is(word, "WITH") => self.state = State::With,
            (State::With, Token::Word(word))
                if self.depth == 0
                    && ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"].iter().any(|verb| is(word, verb)) =>
            {
                self.verb(word);
            }
            (State::Verb, Token::Word(word)) => self.verb(word),
            (State::Behind(behind), Token::Word(word)) if is(word, behind) => self.state = State::Table,
            (State::Table, Token::Word(word)) if BEFORE_TABLE.iter().any(|before| is(word, before)) => {}
            (State::Table | State::Dot, Token::Word(word) | Token::Quoted(word)) => {
                self.table.push(word);
                self.state = State::Named;
            }
            (State::Named, Token::Mark(b'.')) if self.table.len() < 4 => self.state = State::Dot,
            (State::Named | State::Dot, _) => self.state = State::Done,
            _ => {}
        }
    }

    fn verb(&mut self, word: &'a [u8]) {
        self.verb = word;
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        const TABLE_NEXT: [&str; 9] =
            ["INSERT", "REPLACE", "MERGE", "UPDATE", "DESC", "DESCRIBE", "COPY", "TRUNCATE", "CALL"];
        const BEHIND_TABLE: [&str; 6] = ["CREATE", "DROP", "ALTER", "LOCK", "ANALYZE", "OPTIMIZE"];
        self.state = if is("SELECT") || is("DELETE") {
            State::Behind("FROM")
        } else if TABLE_NEXT.iter().any(|verb| is(verb)) {
            State::Table
        } else if BEHIND_TABLE.iter().any(|verb| is(verb)) {
            State::Behind("TABLE")
        } else if is("EXPLAIN") {
            State::Verb
        } else {
            State::Done
        };
    }

    fn endpoint(&self) -> Box<str> {
        let mut name = self.verb.to_ascii_uppercase();
        if !self.table.is_empty() {
            name.push(b' ');
            name.extend_from_slice(&self.table.join(&b'.'));
        }
        clean_to(&name, 256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row says of a statement.
    fn of(text: &str, dialect: Dialect) -> String {
        statement(text.as_bytes(), dialect, &mut Masker::new(false)).text.into()
    }

    #[test]
    fn literals_of_all_dialects() {
        use Dialect::{MySql, PostgreSql, SqlServer};
        let cases = [
            ("SELECT $$it's$$, $x$a $$ b$x$, $1", PostgreSql, "SELECT ?, ?, $1"),
            // A backslash is a backslash here, and what follows is no part of the text.
            (r"SELECT 'C:\', 'hidden', E'a\'b'", PostgreSql, "SELECT ?, ?, ?"),
            ("SELECT q'[it's hidden]', nq'!x!' FROM dual", PostgreSql, "SELECT ?, ? FROM dual"),
            ("SELECT U&'d', B'01', X'ff', 1.5e-3, 0x41", PostgreSql, "SELECT U&?, ?, ?, ?-?, ?"),
            ("SELECT N'hidden', 'it''s', [a'b], \"c\" -- 'x", SqlServer, "SELECT ?, ?, [a'b], \"c\""),
            (r#"SELECT "hidden", 'a\'b', _utf8'c', `d`, 0xff # 'x"#, MySql, "SELECT ?, ?, _utf8?, `d`, ?"),
            ("SELECT 1 /* anna@example.com 'x */ + 2", MySql, "SELECT ?  + ?"),
            ("INSERT INTO t VALUES ('cut in the mid", MySql, "INSERT INTO t VALUES (?"),
            ("SET PASSWORD FOR joe = 'hidden'", MySql, "SET PASSWORD FOR joe = ?"),
        ];
        for (text, dialect, shown) in cases {
            assert_eq!(of(text, dialect), shown, "{text}");
        }
    }

    #[test]
    fn trace_context_in_comments() {
        let mut fields = RequestFields::default();
        let text = "SELECT 1 /*action='a',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/";
        statement(text.as_bytes(), Dialect::MySql, &mut Masker::new(false)).fill(&mut fields);
        assert_eq!(&*fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    }
}
