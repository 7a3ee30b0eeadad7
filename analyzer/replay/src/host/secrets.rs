//! Command lines without their passwords.

/// Put in place of a secret.
const MASK: &str = "***";

/// Words that, in the name of an option or variable, say that its value is secret.
const SECRET_WORDS: [&str; 9] =
    ["password", "passwd", "secret", "token", "api-key", "apikey", "api_key", "access-key", "private-key"];

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|w| name.contains(w))
}

/// `scheme://user:password@host` with the password masked.
fn mask_url(argument: &str) -> Option<String> {
    let (scheme, rest) = argument.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (credentials, _) = authority.rsplit_once('@')?;
    let (user, _) = credentials.split_once(':')?;
    let after = rest.get(credentials.len()..)?;
    Some(format!("{scheme}://{user}:{MASK}{after}"))
}

/// Masks values of options and variables with telling names (`--password X`, `TOKEN=x`), and passwords in URLs.
pub(super) fn mask(arguments: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(arguments.len());
    let mut next_is_secret = false;
    for argument in arguments {
        if next_is_secret && !argument.starts_with('-') {
            out.push(MASK.to_owned());
            next_is_secret = false;
            continue;
        }
        next_is_secret = false;
        match argument.split_once('=') {
            Some((name, _)) if is_secret_name(name) && !name.contains(' ') => out.push(format!("{name}={MASK}")),
            None if argument.starts_with('-') && is_secret_name(argument) => {
                next_is_secret = true;
                out.push(argument.clone());
            }
            _ => out.push(mask_url(argument).unwrap_or_else(|| argument.clone())),
        }
    }
    out
}
