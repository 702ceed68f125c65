//! What a server offers before anybody logs in: the lists of its KEXINIT message (RFC 4253, section 7.1), read from the
//! plain bytes that every connection begins with. So another client's chances are known without its trying.

/// Algorithms in the server's order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// Key exchange.
    pub kex: Vec<String>,
    /// Types of its host keys.
    pub host_keys: Vec<String>,
    /// Ciphers towards the server.
    pub ciphers: Vec<String>,
    /// Message authentication towards the server.
    pub macs: Vec<String>,
}

const KEXINIT: u8 = 20;
const COOKIE: usize = 16;

impl Offers {
    /// Reads the beginning of what a server sent: its version line, then the message. `None`: it is not all there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let version = bytes.windows(4).position(|four| four == b"SSH-")?;
        let end = bytes[version..].iter().position(|byte| *byte == b'\n')? + version + 1;
        let packet = &bytes[end..];
        let length = usize::try_from(u32::from_be_bytes(packet.get(..4)?.try_into().ok()?)).ok()?;
        let padding = usize::from(*packet.get(4)?);
        let payload = packet.get(5..(4 + length).checked_sub(padding)?)?;
        if payload.first() != Some(&KEXINIT) {
            return None;
        }
        let mut rest = payload.get(1 + COOKIE..)?;
        let mut list = || -> Option<Vec<String>> {
            let length = usize::try_from(u32::from_be_bytes(rest.get(..4)?.try_into().ok()?)).ok()?;
            let text = std::str::from_utf8(rest.get(4..4usize.checked_add(length)?)?).ok()?;
            rest = &rest[4 + length..];
            Some(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
        };
        let (kex, host_keys, ciphers, _, macs) = (list()?, list()?, list()?, list()?, list()?);
        Some(Self { kex, host_keys, ciphers, macs })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(lists: &[&str]) -> Vec<u8> {
        let mut payload = vec![KEXINIT];
        payload.extend([7; COOKIE]);
        for list in lists {
            payload.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            payload.extend(list.as_bytes());
        }
        let mut bytes = b"welcome\r\nSSH-2.0-OpenSSH_9.2\r\n".to_vec();
        bytes.extend(u32::try_from(payload.len() + 1 + 4).unwrap().to_be_bytes());
        bytes.push(4);
        bytes.extend(payload);
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn the_lists_of_a_hello_are_read() {
        let bytes = hello(&[
            "curve25519-sha256,ecdh-sha2-nistp256",
            "ssh-ed25519",
            "aes256-gcm@openssh.com",
            "x",
            "hmac-sha2-256",
        ]);
        let offers = Offers::read(&bytes).unwrap();
        assert_eq!(offers.kex, ["curve25519-sha256", "ecdh-sha2-nistp256"]);
        assert_eq!((offers.host_keys[0].as_str(), offers.macs[0].as_str()), ("ssh-ed25519", "hmac-sha2-256"));
        for cut in 0..bytes.len() - 4 {
            assert_eq!(Offers::read(&bytes[..cut]), None, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..40, byte: u8) {
            let _ = Offers::read(&bytes);
            bytes.splice(0..0, *b"SSH-2.0-x\n");
            let _ = Offers::read(&bytes);
            let mut real = hello(&["a", "b", "c", "d", "e"]);
            real[at] = byte;
            let _ = Offers::read(&real);
        }
    }
}
