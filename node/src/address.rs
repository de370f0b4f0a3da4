//! Addresses as operators write them: a host and a port.

use std::net::SocketAddr;

/// Whether a text is a socket address, or the name of a host and a port.
pub(crate) fn is_address(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() != 0;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    // What looks like an IPv4 address and did not parse as one is a slip, not the name of a host.
    let named = host.bytes().any(|b| b.is_ascii_alphabetic());
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    // Digits alone: Rust's own parser takes a plus, too.
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    named && plain && digits && port.parse::<u16>().is_ok_and(|port| port != 0)
}
