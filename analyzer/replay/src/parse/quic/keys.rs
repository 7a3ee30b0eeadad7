//! Keys of Initial packets: anyone who sees the client's first packet can derive them (RFC 9001 section 5.2).

use aes::Aes128;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;

/// A QUIC version whose Initial packets can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// As in the tables.
    pub(super) name: &'static str,
    salt: &'static [u8; 20],
    /// Labels and packet types of version 2 (RFC 9369 section 3).
    pub(super) second: bool,
    /// Frames have the numbers that Google gave them.
    pub(super) google: bool,
    /// The handshake is one of Google's, not TLS.
    pub(super) tags: bool,
}

const SALT_1: [u8; 20] = *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
const SALT_2: [u8; 20] = *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
const SALT_29: [u8; 20] = *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99";
const SALT_23: [u8; 20] = *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02";

// Google's, of 2019 and 2020 (Chromium, quic/core/crypto/crypto_utils.cc).
const SALT_Q50: [u8; 20] = *b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45";
const SALT_T50: [u8; 20] = *b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10";
const SALT_T51: [u8; 20] = *b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d";

impl Version {
    /// Version 1 (RFC 9000), version 2 (RFC 9369), and drafts 23 to 34; Facebook's and Google's numbers.
    pub(super) fn of(number: u32) -> Option<Self> {
        const DRAFTS: [&str; 12] = [
            "draft-23", "draft-24", "draft-25", "draft-26", "draft-27", "draft-28", "draft-29", "draft-30", "draft-31",
            "draft-32", "draft-33", "draft-34",
        ];
        let (name, salt) = match number {
            1 => ("1", &SALT_1),
            0x6b33_43cf => ("2", &SALT_2),
            0xff00_0017..=0xff00_0022 => {
                let name = DRAFTS.get((number & 0xff) as usize - 0x17).copied().unwrap_or_default();
                let salt = match number & 0xff {
                    ..0x1d => &SALT_23,
                    0x1d..0x21 => &SALT_29,
                    _ => &SALT_1,
                };
                (name, salt)
            }
            0xface_b002 | 0xface_b00e | 0xface_b010 => ("mvfst", &SALT_23),
            0x5130_3530 => ("Q050", &SALT_Q50),
            0x5430_3530 => ("T050", &SALT_T50),
            0x5430_3531 => ("T051", &SALT_T51),
            // Reserved to make servers negotiate (RFC 9000 section 15).
            greased if greased & 0x0f0f_0f0f == 0x0a0a_0a0a => ("greased", &SALT_29),
            _ => return None,
        };
        let google = matches!(number, 0x5130_3530 | 0x5430_3530 | 0x5430_3531);
        Some(Self { name, salt, second: number == 0x6b33_43cf, google, tags: number == 0x5130_3530 })
    }
}

/// Keys of one side.
pub(super) struct Keys {
    packet: Aes128,
    iv: [u8; 12],
    header: Aes128,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("iv", &self.iv).finish_non_exhaustive()
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let mut info = Vec::with_capacity(32);
    info.extend_from_slice(&u16::try_from(N).ok()?.to_be_bytes());
    info.push(u8::try_from(label.len() + 6).ok()?);
    info.extend_from_slice(b"tls13 ");
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    let mut out = [0; N];
    secret.expand(&info, &mut out).ok()?;
    Some(out)
}

/// Keys of both sides, the client's first, from the destination connection id of the client's first packet.
pub(super) fn initial(version: Version, id: &[u8]) -> Option<[Keys; 2]> {
    let secret = Hkdf::<Sha256>::new(Some(version.salt), id);
    let side = |label| {
        let secret = Hkdf::<Sha256>::from_prk(&expand::<32>(&secret, label)?).ok()?;
        let labels =
            if version.second { ["quicv2 key", "quicv2 iv", "quicv2 hp"] } else { ["quic key", "quic iv", "quic hp"] };
        Some(Keys {
            packet: Aes128::new(&expand::<16>(&secret, labels[0])?.into()),
            iv: expand(&secret, labels[1])?,
            header: Aes128::new(&expand::<16>(&secret, labels[2])?.into()),
        })
    };
    Some([side("client in")?, side("server in")?])
}

/// Blocks that are made at a time.
const AT_ONCE: usize = 8;

impl Keys {
    /// Takes the protection off a packet whose number starts at `at`; `packet` ends where the packet does, or where its capture does.
    /// The tag is not checked, as a capture may have cut it: whether it made sense is told by the frames. `None`: it cannot be.
    pub(super) fn open(&self, packet: &[u8], at: usize) -> Option<Vec<u8>> {
        let mut mask: [u8; 16] = packet.get(at + 4..at + 20)?.try_into().ok()?;
        self.header.encrypt_block((&mut mask).into());
        let first = packet.first()? ^ mask[0] & 0x0f;
        if first & 0x0c != 0 {
            // Reserved bits.
            return None;
        }
        let length = usize::from(first & 3) + 1;
        let mut nonce = [0; 16];
        nonce[..12].copy_from_slice(&self.iv);
        for place in 0..length {
            let byte = packet.get(at + place)? ^ mask.get(1 + place)?;
            *nonce.get_mut(12 - length + place)? ^= byte;
        }
        let mut plain = packet.get(at + length..)?.to_vec();
        // AES-GCM encrypts as counter mode does, from 2 on; processors work on several blocks at once.
        let mut counter = 2_u32;
        for blocks in plain.chunks_mut(16 * AT_ONCE) {
            let mut stream = [aes::Block::from(nonce); AT_ONCE];
            for block in &mut stream {
                block[12..].copy_from_slice(&counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            self.packet.encrypt_blocks(&mut stream);
            for (bytes, keys) in blocks.chunks_mut(16).zip(&stream) {
                bytes.iter_mut().zip(keys).for_each(|(byte, key)| *byte ^= key);
            }
        }
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::script::hex;
    use super::*;

    /// RFC 9001 appendix A.1: the keys' effect on the sample of A.2 is its mask, 437b9aec36.
    #[test]
    fn keys_of_the_standard() {
        let version = Version::of(1).unwrap();
        let [client, server] = initial(version, &hex("8394c8f03e515708")).unwrap();
        assert_eq!(client.iv[..], hex("fa044b2f42a3fd3b46fb255c"));
        assert_eq!(server.iv[..], hex("0ac1493ca1905853b0bba03e"));
        let mut mask: [u8; 16] = hex("d1b1c98dd7689fb8ec11d242b123dc9b").try_into().unwrap();
        client.header.encrypt_block((&mut mask).into());
        assert_eq!(mask[..5], hex("437b9aec36"));
    }

    /// RFC 9369 appendix A.1.
    #[test]
    fn keys_of_version_2() {
        let version = Version::of(0x6b33_43cf).unwrap();
        let [client, _] = initial(version, &hex("8394c8f03e515708")).unwrap();
        assert_eq!(client.iv[..], hex("91f73e2351d8fa91660e909f"));
    }
}
