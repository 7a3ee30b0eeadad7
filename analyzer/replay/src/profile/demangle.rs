//! Symbol names as their authors wrote them: Rust (legacy and v0) and C++ (Itanium).

use std::fmt::{self, Write};

/// Longer names are cut: a few hundred bytes of mangled name can stand for megabytes.
const MAX_NAME: usize = 1024;

/// Text up to a limit; writing beyond it is an error, which stops a demangler.
struct Limited {
    text: String,
    room: usize,
}

impl Write for Limited {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if s.len() > self.room {
            let mut end = self.room;
            while !s.is_char_boundary(end) {
                end -= 1;
            }
            self.text.push_str(s.get(..end).unwrap_or(""));
            self.room = 0;
            return Err(fmt::Error);
        }
        self.room -= s.len();
        self.text.push_str(s);
        Ok(())
    }
}

/// Whether a name of the Itanium scheme is one of Rust's legacy ones: those end in a hash, `17h` and 16 digits.
fn is_legacy_rust(name: &str) -> bool {
    let end = name.split_once(".llvm.").map_or(name, |n| n.0);
    let Some(body) = end.strip_suffix('E') else { return false };
    let Some(hash_at) = body.len().checked_sub(16) else { return false };
    let (Some(before), Some(hash)) = (body.get(..hash_at), body.get(hash_at..)) else { return false };
    before.ends_with("17h") && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The demangled name without hashes and parameters, or the name as it is.
pub(super) fn demangle(name: &str) -> String {
    let mut out = Limited { text: String::new(), room: MAX_NAME };
    let bare = name.strip_prefix("__Z").map_or(name, |_| name.get(1..).unwrap_or(name));
    if bare.starts_with("_R") || (bare.starts_with("_ZN") && is_legacy_rust(bare)) {
        if let Ok(symbol) = rustc_demangle::try_demangle(bare) {
            // An error is the limit: what was written till then is the name.
            let _ = write!(out, "{symbol:#}");
            return clean(out.text);
        }
    } else if bare.starts_with("_Z") {
        // Suffixes that compilers add to clones (`.cold`, `.part.0`) are not part of the scheme.
        let (mangled, suffix) = match bare.find('.') {
            Some(dot) => bare.split_at(dot),
            None => (bare, ""),
        };
        if let Ok(symbol) = cpp_demangle::BorrowedSymbol::new(mangled.as_bytes()) {
            let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
            let written = symbol.structured_demangle(&mut out, &options);
            if !out.text.is_empty() && (written.is_ok() || out.room == 0) {
                let _ = out.write_str(suffix);
                return clean(out.text);
            }
        }
    }
    clean(name.chars().take(MAX_NAME).collect())
}

/// Frames are joined by `;` and lie in tables as lines: neither may be in a name.
fn clean(name: String) -> String {
    if name.chars().any(|c| c == ';' || c.is_control()) {
        name.chars()
            .map(|c| {
                if c == ';' {
                    ','
                } else if c.is_control() {
                    '?'
                } else {
                    c
                }
            })
            .collect()
    } else {
        name
    }
}
