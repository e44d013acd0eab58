//! `sign`: the keys of a signature.
//!
//! Refuses: quoting them, even where they are wrong.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::config::fields::Fields;
use crate::config::templates::Templates;
use crate::model::connector::{Signing, SigningKey};

/// Standard Webhooks 1.0 asks for 24 to 64 random bytes.
const KEY_LENGTH_ADVISED: usize = 24;
const KEY_LENGTH_MAX: usize = 512;
/// The current secret, and the one it replaces.
const KEYS_MAX: usize = 2;

/// Reads the mapping.
pub fn read(f: &Fields<'_>, templates: &Templates<'_>) -> Option<Signing> {
    let _ = f.choice("scheme", &[()]);
    let elements = f.elements("secret")?;
    if elements.is_empty() || KEYS_MAX < elements.len() {
        f.ctx.error(f.position("secret"), "secret: give one, or two while a secret is being changed");
    }
    let mut keys = Vec::new();
    for node in elements {
        let Some(text) = templates.settled("secret", node) else { continue };
        let secret = text.reveal().trim();
        f.ctx.keep_secret(secret);
        let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
        f.ctx.keep_secret(encoded);
        let key = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded));
        match key {
            Ok(key) if (1..=KEY_LENGTH_MAX).contains(&key.len()) => {
                if key.len() < KEY_LENGTH_ADVISED {
                    let message = format!(
                        "secret: a key of {} bytes is short: Standard Webhooks asks for 24 to 64 random bytes",
                        key.len()
                    );
                    f.ctx.warn(node.at, message);
                }
                keys.push(SigningKey(key.into()));
            }
            _ if secret.is_empty() && templates.may_be_blank() => {}
            _ if f.ctx.text("secret", node).is_some_and(|text| text.incomplete) => {}
            _ => f.ctx.error(node.at, "secret: this is no signing secret: write whsec_<base64>, or the base64 alone"),
        }
    }
    Some(Signing { keys })
}
