//! Secrets are masked in what is yielded, and counted: credentials, tokens in URLs, cookies.

use super::text::scheme_end;

/// What stands for a secret.
pub const MASK: &str = "***";

/// Words in names of query parameters and the like whose values are secrets.
const SECRET_WORDS: [&str; 14] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "auth",
    "credential",
    "signature",
    "session",
    "private",
    "jwt",
];
/// Whole names whose values are secrets.
const SECRET_NAMES: [&str; 7] = ["key", "sig", "sid", "pass", "code", "otp", "pin"];

/// Kinds of what is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// Passwords and tokens of a log-in.
    Login,
    /// Authorization, cookies.
    Header,
    /// Values in URLs, user names and passwords in front of hosts.
    Url,
    /// Literals in statements and documents, values of their parameters.
    Literal,
    /// Values quoted in texts of errors.
    Error,
    /// Values of commands whose names or shape say that they are secret, numbers of cards.
    Value,
}

/// How many secrets were left out, by kind. The same one is counted at each place where it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masked([u64; 6]);

impl Masked {
    const NAMES: [&str; 6] = ["login", "header", "url", "literal", "error_text", "value"];

    /// Adds those of `other`.
    pub fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, more)| *mine += more);
    }

    /// Kinds and their numbers, in a fixed order, those without any too.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.into_iter().zip(self.0)
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Masks and counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masker {
    show: bool,
    count: Masked,
}

impl Masker {
    /// `show`: leave all readable.
    pub(super) fn new(show: bool) -> Self {
        Self { show, count: Masked::default() }
    }

    /// How many secrets were masked.
    pub(super) fn count(self) -> Masked {
        self.count
    }

    /// Whether secrets stay readable.
    pub(super) fn shows(self) -> bool {
        self.show
    }

    /// Notes that a secret was left out.
    pub(super) fn hid(&mut self, what: Secret, n: u64) {
        if let Some(count) = self.count.0.get_mut(what as usize) {
            *count += n;
        }
    }

    /// A URL or path: values of secret-looking query parameters and passwords before the host are masked.
    pub(super) fn url(&mut self, url: Box<str>) -> Box<str> {
        if self.show {
            return url;
        }
        let question = |url: &str| memchr::memchr(b'?', url.as_bytes());
        let before = question(&url);
        let url = self.segments(url, before);
        let query = if before.is_some() { question(&url) } else { None };
        let scheme = scheme_end(&url).filter(|at| query.is_none_or(|query| *at < query));
        if query.is_none() && scheme.is_none() {
            return url;
        }
        let (path, rest) = url.split_at_checked(query.map_or(url.len(), |at| at + 1)).unwrap_or((&url, ""));
        let user = scheme.and_then(|at| user_info(path, at + 3));
        let is_secret = |pair: &str| {
            let named = pair.split_once('=').filter(|(_, value)| !value.is_empty());
            named.is_some_and(|(name, value)| is_secret_name(name) || is_token(value))
        };
        if user.is_none() && !rest.split('&').any(is_secret) {
            return url;
        }
        let mut masked = String::new();
        let mut hidden = 0;
        match user {
            Some((from, to)) => {
                masked.push_str(path.get(..from).unwrap_or_default());
                masked.push_str(MASK);
                masked.push_str(path.get(to..).unwrap_or_default());
                hidden += 1;
            }
            None => masked.push_str(path),
        }
        for (place, pair) in rest.split('&').enumerate() {
            if place > 0 {
                masked.push('&');
            }
            match pair.split_once('=').filter(|_| is_secret(pair)) {
                Some((name, _)) => {
                    masked.push_str(name);
                    masked.push('=');
                    masked.push_str(MASK);
                    hidden += 1;
                }
                None => masked.push_str(pair),
            }
        }
        self.hid(Secret::Url, hidden);
        masked.into_boxed_str()
    }
}

impl Masker {
    /// Segments of a path that are tokens.
    fn segments(&mut self, url: Box<str>, query: Option<usize>) -> Box<str> {
        let (path, query) = url.split_at_checked(query.unwrap_or(url.len())).unwrap_or((&url, ""));
        // Most segments do not begin as tokens do.
        let begins = |at: usize| path.as_bytes().get(at).is_some_and(|first| b"Aegrsx-".contains(first));
        let token_at =
            |at: usize| begins(at) && path.get(at..).and_then(|rest| rest.split('/').next()).is_some_and(is_token);
        if !token_at(0) && !memchr::memchr_iter(b'/', path.as_bytes()).any(|slash| token_at(slash + 1)) {
            return url;
        }
        let mut hidden = 0;
        let mut shown = |segment| {
            let token = is_token(segment);
            hidden += u64::from(token);
            if token { MASK } else { segment }
        };
        let parts: Vec<&str> = path.split('/').map(&mut shown).collect();
        let masked = format!("{}{query}", parts.join("/"));
        self.hid(Secret::Url, hidden);
        masked.into()
    }

    /// Values of a statement's parameters: `?` for each, as literals are shown.
    pub(super) fn values(&mut self, values: String, count: u16) -> Box<str> {
        if self.show {
            return values.into();
        }
        self.hid(Secret::Literal, u64::from(count));
        let mut masked = "?, ".repeat(usize::from(count).min(256));
        masked.truncate(masked.len().saturating_sub(2));
        masked.into()
    }

    /// Text of an error: what stands between `quote`s is masked.
    pub(super) fn quoted(&mut self, text: Box<str>, quote: char) -> Box<str> {
        if self.show || !text.contains(quote) {
            return text;
        }
        self.hid(Secret::Error, 1);
        let mut masked = String::with_capacity(text.len());
        for (place, part) in text.split(quote).enumerate() {
            if place > 0 {
                masked.push(quote);
            }
            masked.push_str(if place % 2 == 0 { part } else { MASK });
        }
        masked.into_boxed_str()
    }
}

/// Whether a text has the shape of a token that opens something: a JSON Web Token (RFC 7519), keys of services that mark theirs.
pub(super) fn is_token(text: &str) -> bool {
    const MARKS: [&str; 9] =
        ["sk_live_", "rk_live_", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "-----BEGIN "];
    let jwt = || {
        let mut parts = text.split('.');
        let part = |part: Option<&str>| {
            part.is_some_and(|part| {
                part.len() > 3 && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            })
        };
        text.starts_with("eyJ") && part(parts.next()) && part(parts.next()) && parts.next().is_some()
    };
    let amazon = || text.len() == 20 && text.starts_with("AKIA") && text.bytes().all(|b| b.is_ascii_alphanumeric());
    MARKS.iter().any(|mark| text.starts_with(mark)) || jwt() || amazon()
}

/// Where `user:password` stands in a URL whose authority starts at `at`.
fn user_info(url: &str, at: usize) -> Option<(usize, usize)> {
    let authority = url.get(at..)?.split('/').next()?;
    let end = authority.rfind('@')?;
    Some((at, at + end))
}

/// Whether values under this name are secrets.
pub(super) fn is_secret_name(name: &str) -> bool {
    let contains = |word: &str| {
        name.len() >= word.len()
            && name.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    };
    SECRET_WORDS.iter().any(|word| contains(word)) || SECRET_NAMES.iter().any(|word| name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let mut mask = Masker::new(false);
        let mut url = |text: &str| mask.url(text.into()).to_string();
        assert_eq!(url("/a?page=1&access_token=x&b="), "/a?page=1&access_token=***&b=");
        assert_eq!(url("http://joe:pw@h/a?pin=1"), "http://***@h/a?pin=***");
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
        assert_eq!(url(&format!("/verify/{token}/now?next={token}")), "/verify/***/now?next=***");
        assert_eq!(url("/charge/sk_live_abc"), "/charge/***");
        // What only looks a little like one stays.
        for plain in ["/eyJ", "/a.b.c/AKIA", "/v1/users/4711", "/?q=eyJust+a+word", "/skip_live"] {
            assert_eq!(url(plain), plain);
        }
        assert_eq!(mask.count().iter().find(|(name, _)| *name == "url"), Some(("url", 6)));
        assert_eq!(Masker::new(true).url("/a?token=x".into()).as_ref(), "/a?token=x");
    }
}
