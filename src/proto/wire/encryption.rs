//! Message stream encryption: what peers agree on before the handshake, so that nobody between them can tell what they talk about.
//!
//! It follows the specification of Vuze ("Message Stream Encryption", also "protocol encryption", PE). Each side sends a public key and a pad of
//! random length; the caller then proves that it knows the torrent's info-hash and names the [`Methods`] that it takes; the called peer selects one.
//! Both sides are state machines on bytes, [`Answering`] and [`Calling`]: they are given what has come, cut anywhere, and say what to send.
//!
//! It hides and does not authenticate: who knows the info-hash can pretend to be anybody. Bounds: pads have up to 512 bytes, what is searched for must
//! begin right behind the longest pad at the latest, and the first payload has up to [`MAX_FIRST_PAYLOAD`] bytes.

mod keys;
mod keystream;

use bytes::{Buf, BytesMut};
use rand::{Rng, RngExt};

use self::keys::{HASH_LENGTH, PrivateKey, Secret};
pub use self::keys::{KEY_LENGTH, TorrentMark};
pub use self::keystream::Keystream;
use crate::proto::id::InfoHash;

/// Bytes of a pad, at most.
pub const MAX_PAD: usize = 512;

/// Bytes that a caller may send with its proof, at most: a handshake, and the messages that it ventures to send behind it.
pub const MAX_FIRST_PAYLOAD: usize = 8 * 1024;

/// What shows that the other side decrypts to the same: eight zeros, encrypted.
const VERIFICATION: [u8; 8] = [0; 8];

/// Bytes behind the verification: the methods, and the length of the pad.
const HEAD_LENGTH: usize = VERIFICATION.len() + 6;

/// Why two peers do not come to terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// The public key is one whose secret anybody can guess.
    #[error("the peer's key is none")]
    WeakKey,
    /// What must follow the pad does not.
    #[error("the peer's bytes are no encrypted handshake")]
    NotEncrypted,
    /// The mark is of no torrent that is here.
    #[error("the peer asks for a torrent that is not here")]
    UnknownTorrent,
    /// The verification is not zeros: the peer means another torrent, or another protocol.
    #[error("the peer encrypts with another key")]
    WrongKey,
    /// A pad or the first payload is over its bound.
    #[error("the peer announces {0} bytes in its encrypted handshake, which are too many")]
    TooLong(usize),
    /// No method that one side offers is taken by the other.
    #[error("the peer and this program have no way of encryption in common")]
    NoMethod,
}

/// What follows the exchange of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Plain bytes: only the handshake was hidden.
    Plain,
    /// Everything is encrypted with RC4.
    Rc4,
}

impl Method {
    const fn bit(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Rc4 => 2,
        }
    }
}

/// The methods that a side takes, the best one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Plain bytes where the other side takes them.
    PreferPlain,
    /// RC4 where the other side takes it.
    PreferRc4,
    /// RC4 only.
    OnlyRc4,
}

impl Methods {
    const fn best_first(self) -> &'static [Method] {
        match self {
            Self::PreferPlain => &[Method::Plain, Method::Rc4],
            Self::PreferRc4 => &[Method::Rc4, Method::Plain],
            Self::OnlyRc4 => &[Method::Rc4],
        }
    }

    fn bits(self) -> u32 {
        let bits = self.best_first().iter().map(|method| method.bit());
        bits.fold(0, std::ops::BitOr::bitor)
    }

    /// The best one among those that the other side provides.
    fn select(self, provided: u32) -> Option<Method> {
        let mut taken = self.best_first().iter().copied();
        taken.find(|method| provided & method.bit() != 0)
    }
}

/// What two peers have agreed on.
#[derive(Debug)]
pub struct Agreement {
    /// The torrent that the caller has named.
    pub torrent: InfoHash,
    /// How the connection goes on in both directions; `None` for plain bytes.
    pub keystreams: Option<Keystreams>,
}

/// Both directions of an encrypted connection.
#[derive(Debug)]
pub struct Keystreams {
    /// For what comes.
    pub incoming: Keystream,
    /// For what is sent.
    pub outgoing: Keystream,
}

impl Keystreams {
    fn agree(self, method: Method, torrent: InfoHash) -> Agreement {
        Agreement {
            torrent,
            keystreams: (method == Method::Rc4).then_some(self),
        }
    }
}

/// The side that was called. It learns from the caller which torrent is meant.
pub struct Answering {
    methods: Methods,
    ours: PrivateKey,
    /// Random bytes: the pads of both messages.
    pads: [Vec<u8>; 2],
    stage: AnswerStage,
}

/// What an [`Answering`] waits for.
enum AnswerStage {
    Key,
    Start(Secret),
    Mark(Secret),
    Head(InfoHash, Keystreams),
    Pad(InfoHash, Keystreams, Method, usize),
    Payload(InfoHash, Keystreams, Method, usize),
}

impl Answering {
    /// Begins to answer a caller.
    pub fn new(methods: Methods, rng: &mut impl Rng) -> Self {
        Self {
            methods,
            ours: PrivateKey::generate(rng),
            pads: [pad(rng), pad(rng)],
            stage: AnswerStage::Key,
        }
    }

    /// Takes what has come, as far as it goes, and appends to `out` what is to be sent. `Some` at the end: then `received` holds what the caller has
    /// sent behind its part, decrypted. `find` says which of this side's torrents has a mark.
    ///
    /// # Errors
    /// [`EncryptionError`]: then the connection is to be closed.
    pub fn advance(
        &mut self,
        received: &mut BytesMut,
        out: &mut Vec<u8>,
        find: impl Fn(&TorrentMark) -> Option<InfoHash>,
    ) -> Result<Option<Agreement>, EncryptionError> {
        use AnswerStage as Stage;
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Key);
            self.stage = match stage {
                Stage::Key => {
                    let Some(theirs) = take::<KEY_LENGTH>(received) else {
                        return Ok(self.wait(stage));
                    };
                    let secret = self.ours.agree(&theirs).ok_or(EncryptionError::WeakKey)?;
                    out.extend(self.ours.public());
                    out.append(&mut self.pads[0]);
                    Stage::Start(secret)
                }
                Stage::Start(secret) => {
                    if !skip_pad(received, &secret.start())? {
                        return Ok(self.wait(Stage::Start(secret)));
                    }
                    received.advance(HASH_LENGTH);
                    Stage::Mark(secret)
                }
                Stage::Mark(secret) => {
                    let Some(masked) = take::<HASH_LENGTH>(received) else {
                        return Ok(self.wait(Stage::Mark(secret)));
                    };
                    let mark = TorrentMark(secret.mask(masked));
                    let torrent = find(&mark).ok_or(EncryptionError::UnknownTorrent)?;
                    let keystreams = Keystreams {
                        incoming: secret.caller_keystream(&torrent),
                        outgoing: secret.called_keystream(&torrent),
                    };
                    Stage::Head(torrent, keystreams)
                }
                Stage::Head(torrent, mut keystreams) => {
                    let Some(mut head) = take::<HEAD_LENGTH>(received) else {
                        return Ok(self.wait(Stage::Head(torrent, keystreams)));
                    };
                    keystreams.incoming.apply(&mut head);
                    let (provided, pad_length) = read_head(&head)?;
                    let method = self.methods.select(provided);
                    let method = method.ok_or(EncryptionError::NoMethod)?;
                    Stage::Pad(torrent, keystreams, method, pad_length)
                }
                Stage::Pad(torrent, mut keystreams, method, length) => {
                    // Behind the pad stands the length of the first payload.
                    let whole = length.saturating_add(2);
                    let Some(mut pad) = take_front(received, whole) else {
                        return Ok(self.wait(Stage::Pad(torrent, keystreams, method, length)));
                    };
                    keystreams.incoming.apply(&mut pad);
                    pad.advance(length);
                    let payload_length = usize::from(pad.get_u16());
                    if payload_length > MAX_FIRST_PAYLOAD {
                        return Err(EncryptionError::TooLong(payload_length));
                    }
                    Stage::Payload(torrent, keystreams, method, payload_length)
                }
                Stage::Payload(torrent, mut keystreams, method, length) => {
                    let Some((payload, rest)) = received.split_at_mut_checked(length) else {
                        return Ok(self.wait(Stage::Payload(torrent, keystreams, method, length)));
                    };
                    // The first payload is encrypted whatever the method; what follows it is only with RC4.
                    keystreams.incoming.apply(payload);
                    if method == Method::Rc4 {
                        keystreams.incoming.apply(rest);
                    }
                    let from = out.len();
                    write_head(method.bit(), &self.pads[1], out);
                    encrypt_from(from, out, &mut keystreams.outgoing);
                    return Ok(Some(keystreams.agree(method, torrent)));
                }
            };
        }
    }

    /// More must come.
    fn wait(&mut self, stage: AnswerStage) -> Option<Agreement> {
        self.stage = stage;
        None
    }
}

/// The side that calls. It knows which torrent is meant, and sends its first payload with the proof of that.
pub struct Calling {
    torrent: InfoHash,
    methods: Methods,
    ours: PrivateKey,
    pad: Vec<u8>,
    payload: Vec<u8>,
    stage: CallStage,
}

/// What a [`Calling`] waits for.
enum CallStage {
    Key,
    /// The verification, encrypted: what the pad ends with.
    Verification(Keystreams, [u8; VERIFICATION.len()]),
    Head(Keystreams),
    Pad(Keystreams, Method, usize),
}

impl Calling {
    /// Begins to call a peer about a torrent: appends to `out` what is to be sent. `payload` goes with the proof, up to [`MAX_FIRST_PAYLOAD`] bytes of it.
    pub fn new(
        torrent: InfoHash,
        methods: Methods,
        mut payload: Vec<u8>,
        out: &mut Vec<u8>,
        rng: &mut impl Rng,
    ) -> Self {
        let ours = PrivateKey::generate(rng);
        out.extend(ours.public());
        out.append(&mut pad(rng));
        payload.truncate(MAX_FIRST_PAYLOAD);
        Self {
            torrent,
            methods,
            ours,
            pad: pad(rng),
            payload,
            stage: CallStage::Key,
        }
    }

    /// Takes what has come, as far as it goes, and appends to `out` what is to be sent. `Some` at the end: then `received` holds what the called peer
    /// has sent behind its part, decrypted.
    ///
    /// # Errors
    /// [`EncryptionError`]: then the connection is to be closed.
    pub fn advance(
        &mut self,
        received: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<Option<Agreement>, EncryptionError> {
        use CallStage as Stage;
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Key);
            self.stage = match stage {
                Stage::Key => {
                    let Some(theirs) = take::<KEY_LENGTH>(received) else {
                        return Ok(self.wait(stage));
                    };
                    let secret = self.ours.agree(&theirs).ok_or(EncryptionError::WeakKey)?;
                    self.prove(&secret, out)
                }
                Stage::Verification(keystreams, encrypted) => {
                    if !skip_pad(received, &encrypted)? {
                        return Ok(self.wait(Stage::Verification(keystreams, encrypted)));
                    }
                    Stage::Head(keystreams)
                }
                Stage::Head(mut keystreams) => {
                    let Some(mut head) = take::<HEAD_LENGTH>(received) else {
                        return Ok(self.wait(Stage::Head(keystreams)));
                    };
                    keystreams.incoming.apply(&mut head);
                    let (selected, pad_length) = read_head(&head)?;
                    let method = self.methods.select(selected);
                    let method = method.filter(|method| method.bit() == selected);
                    Stage::Pad(
                        keystreams,
                        method.ok_or(EncryptionError::NoMethod)?,
                        pad_length,
                    )
                }
                Stage::Pad(mut keystreams, method, length) => {
                    let Some(mut pad) = take_front(received, length) else {
                        return Ok(self.wait(Stage::Pad(keystreams, method, length)));
                    };
                    keystreams.incoming.apply(&mut pad);
                    if method == Method::Rc4 {
                        keystreams.incoming.apply(received);
                    }
                    return Ok(Some(keystreams.agree(method, self.torrent)));
                }
            };
        }
    }

    /// Shows that this side knows the torrent, and what it takes.
    fn prove(&mut self, secret: &Secret, out: &mut Vec<u8>) -> CallStage {
        let mut keystreams = Keystreams {
            incoming: secret.called_keystream(&self.torrent),
            outgoing: secret.caller_keystream(&self.torrent),
        };
        out.extend(secret.start());
        out.extend(secret.mask(TorrentMark::of(&self.torrent).0));
        let from = out.len();
        write_head(self.methods.bits(), &self.pad, out);
        let payload_length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        out.extend(payload_length.to_be_bytes());
        out.append(&mut self.payload);
        encrypt_from(from, out, &mut keystreams.outgoing);
        // A second keystream of theirs shows what to look for; the first one begins where that has been found.
        let mut encrypted = VERIFICATION;
        secret.called_keystream(&self.torrent).apply(&mut encrypted);
        CallStage::Verification(keystreams, encrypted)
    }

    /// More must come.
    fn wait(&mut self, stage: CallStage) -> Option<Agreement> {
        self.stage = stage;
        None
    }
}

fn pad(rng: &mut impl Rng) -> Vec<u8> {
    let mut pad = vec![0; rng.random_range(0..=MAX_PAD)];
    rng.fill_bytes(&mut pad);
    pad
}

fn take<const N: usize>(received: &mut BytesMut) -> Option<[u8; N]> {
    let taken = received.first_chunk().copied()?;
    received.advance(N);
    Some(taken)
}

fn take_front(received: &mut BytesMut, length: usize) -> Option<BytesMut> {
    (received.len() >= length).then(|| received.split_to(length))
}

/// Drops the pad before `marker` and says whether the marker has come.
fn skip_pad(received: &mut BytesMut, marker: &[u8]) -> Result<bool, EncryptionError> {
    let mut places = received
        .windows(marker.len())
        .take(MAX_PAD.saturating_add(1));
    if let Some(pad) = places.position(|place| place == marker) {
        received.advance(pad);
        return Ok(true);
    }
    if received.len() >= MAX_PAD.saturating_add(marker.len()) {
        return Err(EncryptionError::NotEncrypted);
    }
    Ok(false)
}

/// Reads verification, methods and the length of the pad, decrypted.
fn read_head(mut head: &[u8]) -> Result<(u32, usize), EncryptionError> {
    if !head.starts_with(&VERIFICATION) {
        return Err(EncryptionError::WrongKey);
    }
    head.advance(VERIFICATION.len());
    let (methods, pad_length) = (head.get_u32(), usize::from(head.get_u16()));
    if pad_length > MAX_PAD {
        return Err(EncryptionError::TooLong(pad_length));
    }
    Ok((methods, pad_length))
}

/// Writes verification, methods and the pad, to be encrypted.
fn write_head(methods: u32, pad: &[u8], out: &mut Vec<u8>) {
    let pad_length = u16::try_from(pad.len()).unwrap_or(u16::MAX);
    out.extend(VERIFICATION);
    out.extend(methods.to_be_bytes());
    out.extend(pad_length.to_be_bytes());
    out.extend(pad);
}

fn encrypt_from(from: usize, out: &mut [u8], keystream: &mut Keystream) {
    if let Some(new) = out.get_mut(from..) {
        keystream.apply(new);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    type Outcome = Result<Option<Agreement>, EncryptionError>;

    fn torrent() -> InfoHash {
        InfoHash::from([7; 20])
    }

    fn find(mark: &TorrentMark) -> Option<InfoHash> {
        (*mark == TorrentMark::of(&torrent())).then(torrent)
    }

    /// Two peers, and the bytes on their way between them.
    struct Link {
        calling: Calling,
        answering: Answering,
        answerer_received: BytesMut,
        to_answerer: Vec<u8>,
        caller_received: BytesMut,
        to_caller: Vec<u8>,
    }

    impl Link {
        fn new(caller: Methods, answerer: Methods, payload: &[u8], seed: u64) -> Self {
            Self::about(torrent(), caller, answerer, payload, seed)
        }

        fn about(
            torrent: InfoHash,
            caller: Methods,
            answerer: Methods,
            payload: &[u8],
            seed: u64,
        ) -> Self {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut to_answerer = Vec::new();
            Self {
                calling: Calling::new(torrent, caller, payload.into(), &mut to_answerer, &mut rng),
                answering: Answering::new(answerer, &mut rng),
                answerer_received: BytesMut::new(),
                to_answerer,
                caller_received: BytesMut::new(),
                to_caller: Vec::new(),
            }
        }

        /// Lets up to `count` bytes through to the called peer.
        fn pass_to_answerer(&mut self, count: usize) -> Outcome {
            let count = count.min(self.to_answerer.len());
            self.answerer_received
                .extend(self.to_answerer.drain(..count));
            let received = &mut self.answerer_received;
            self.answering.advance(received, &mut self.to_caller, find)
        }

        fn pass_to_caller(&mut self, count: usize) -> Outcome {
            let count = count.min(self.to_caller.len());
            self.caller_received.extend(self.to_caller.drain(..count));
            let received = &mut self.caller_received;
            self.calling.advance(received, &mut self.to_answerer)
        }

        /// Lets everything through in turns of `count` bytes, until both are done or nothing moves.
        fn run(&mut self, count: usize) -> Result<(Agreement, Agreement), EncryptionError> {
            let (mut caller, mut answerer) = (None, None);
            while caller.is_none() || answerer.is_none() {
                assert!(!(self.to_answerer.is_empty() && self.to_caller.is_empty()));
                if answerer.is_none() {
                    answerer = self.pass_to_answerer(count)?;
                }
                if caller.is_none() {
                    caller = self.pass_to_caller(count)?;
                }
            }
            self.answerer_received.extend(&self.to_answerer);
            self.caller_received.extend(&self.to_caller);
            Ok((caller.unwrap(), answerer.unwrap()))
        }
    }

    fn methods() -> impl Strategy<Value = Methods> {
        prop::sample::select(&[Methods::PreferPlain, Methods::PreferRc4, Methods::OnlyRc4][..])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn both_sides_agree_however_their_bytes_are_cut(
            caller in methods(), answerer in methods(), seed: u64, count in 1_usize..900,
            payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut link = Link::new(caller, answerer, &payload, seed);
            let (caller, answerer) = link.run(count).unwrap();
            prop_assert_eq!((caller.torrent, answerer.torrent), (torrent(), torrent()));
            prop_assert_eq!(&link.answerer_received[..], &payload[..]);
            prop_assert!(link.caller_received.is_empty());
            prop_assert_eq!(caller.keystreams.is_some(), answerer.keystreams.is_some());
            if let (Some(mut caller), Some(mut answerer)) = (caller.keystreams, answerer.keystreams) {
                let mut there = *b"there and back";
                caller.outgoing.apply(&mut there);
                prop_assert_ne!(&there, b"there and back");
                answerer.incoming.apply(&mut there);
                answerer.outgoing.apply(&mut there);
                caller.incoming.apply(&mut there);
                prop_assert_eq!(&there, b"there and back");
            }
        }

        #[test]
        fn noise_is_refused_before_much_of_it_is_kept(noise in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut answering = Answering::new(Methods::PreferPlain, &mut StdRng::seed_from_u64(1));
            let mut received = BytesMut::from(&noise[..]);
            let outcome = answering.advance(&mut received, &mut Vec::new(), find);
            if noise.len() < KEY_LENGTH + MAX_PAD + HASH_LENGTH {
                prop_assert!(outcome.unwrap().is_none());
            } else {
                prop_assert_eq!(outcome.unwrap_err(), EncryptionError::NotEncrypted);
            }
        }
    }

    #[test]
    fn called_peer_selects_what_it_likes_best() {
        for (answerer, is_encrypted) in [(Methods::PreferPlain, false), (Methods::PreferRc4, true)]
        {
            for caller in [Methods::PreferPlain, Methods::PreferRc4] {
                let (_, agreement) = Link::new(caller, answerer, b"", 3).run(64).unwrap();
                assert_eq!(agreement.keystreams.is_some(), is_encrypted);
            }
        }
        let (_, agreement) = Link::new(Methods::PreferPlain, Methods::OnlyRc4, b"", 4)
            .run(64)
            .unwrap();
        assert!(agreement.keystreams.is_some());
    }

    #[test]
    fn sides_without_a_common_method_part() {
        assert_eq!(Methods::OnlyRc4.select(Method::Plain.bit()), None);
        assert_eq!(Methods::PreferPlain.select(0), None);
        assert_eq!(Methods::PreferPlain.select(8 | 2), Some(Method::Rc4));
    }

    #[test]
    fn what_follows_the_agreement_is_decrypted_with_it() {
        let mut link = Link::new(Methods::OnlyRc4, Methods::OnlyRc4, b"first", 5);
        while link.pass_to_caller(usize::MAX).unwrap().is_none() {
            if link.to_answerer.is_empty() {
                continue;
            }
            let done = link.pass_to_answerer(usize::MAX).unwrap();
            if let Some(agreement) = done {
                let mut more = *b"second";
                agreement.keystreams.unwrap().outgoing.apply(&mut more);
                link.to_caller.extend(more);
            }
        }
        assert_eq!(&link.answerer_received[..], b"first");
        assert_eq!(&link.caller_received[..], b"second");
    }

    #[test]
    fn another_torrent_is_unknown() {
        let other = InfoHash::from([8; 20]);
        let mut link = Link::about(other, Methods::OnlyRc4, Methods::OnlyRc4, b"", 6);
        assert_eq!(link.run(50).unwrap_err(), EncryptionError::UnknownTorrent);
    }

    #[test]
    fn long_pads_and_payloads_are_refused_before_they_come() {
        let mut link = Link::new(Methods::OnlyRc4, Methods::OnlyRc4, b"", 7);
        link.calling.pad = vec![0; MAX_PAD + 1];
        assert_eq!(
            link.run(50).unwrap_err(),
            EncryptionError::TooLong(MAX_PAD + 1)
        );
        let mut link = Link::new(Methods::OnlyRc4, Methods::OnlyRc4, b"", 7);
        link.calling.payload = vec![0; MAX_FIRST_PAYLOAD + 1];
        assert_eq!(
            link.run(50).unwrap_err(),
            EncryptionError::TooLong(MAX_FIRST_PAYLOAD + 1)
        );
    }

    #[test]
    fn a_selection_that_was_not_offered_is_refused() {
        for selected in [0, 1, 3, 4] {
            let mut link = Link::new(Methods::OnlyRc4, Methods::OnlyRc4, b"", 8);
            assert!(link.pass_to_answerer(usize::MAX).unwrap().is_none());
            assert!(link.pass_to_caller(usize::MAX).unwrap().is_none());
            assert!(link.pass_to_answerer(usize::MAX).unwrap().is_some());
            // Whoever flips a bit of RC4 flips it for the reader.
            let head = link.to_caller.get_mut(8..12).unwrap();
            for (byte, (from, to)) in head.iter_mut().zip(
                2_u32
                    .to_be_bytes()
                    .into_iter()
                    .zip(u32::to_be_bytes(selected)),
            ) {
                *byte ^= from ^ to;
            }
            assert_eq!(
                link.pass_to_caller(usize::MAX).unwrap_err(),
                EncryptionError::NoMethod
            );
        }
    }
}
