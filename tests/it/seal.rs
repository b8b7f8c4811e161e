//! The Merkle tree, its proofs and signed notes: against published vectors, and altered in every place.

use fineprint::seal::{
    BadKey, Checkpoint, Frontier, Hash, Note, Signer, Verifier, consistency, inclusion, leaf_hash, root,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

fn leaves(n: usize) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect()
}

#[test]
fn roots_are_those_of_the_published_vectors() {
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let of: Vec<Hash> = entries.iter().map(|e| leaf_hash(e)).collect();
    let cases = [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (4, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        (6, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];
    for (n, expected) in cases {
        assert_eq!(hex(&root(&of[..n])), expected, "{n} leaves");
    }
}

#[test]
fn every_leaf_is_proved_and_no_other_passes() {
    for n in 1..40 {
        let of = leaves(n);
        let top = root(&of);
        for i in 0..n {
            let proof = inclusion(&of, i).unwrap();
            let holds = |leaf: &Hash, i: usize, n: usize, proof: &[Hash]| {
                verify_inclusion(leaf, i as u64, n as u64, proof, &top)
            };
            assert!(holds(&of[i], i, n, &proof), "{i} of {n}");
            assert!(!holds(&leaf_hash(b"another"), i, n, &proof));
            assert!(!holds(&of[i], i, n, &[&proof[..], &[top]].concat()), "a longer proof");
            for other in (0..n).filter(|other| *other != i) {
                assert!(!holds(&of[i], other, n, &proof), "{i} passes as {other} of {n}");
            }
            for at in 0..proof.len() {
                let mut altered = proof.clone();
                altered[at][0] ^= 1;
                assert!(!holds(&of[i], i, n, &altered));
                altered.remove(at);
                assert!(!holds(&of[i], i, n, &altered), "a shorter proof");
            }
        }
        assert_eq!(inclusion(&of, n), None);
    }
}

#[test]
fn a_tree_that_grew_is_consistent_and_one_that_was_rewritten_is_not() {
    for n in 1..40 {
        let of = leaves(n);
        let top = root(&of);
        for old in 0..=n {
            let proof = consistency(&of, old).unwrap();
            let before = root(&of[..old]);
            assert!(verify_consistency(old as u64, &before, n as u64, &top, &proof), "{old} of {n}");
            if old == 0 {
                continue;
            }
            let mut rewritten = of[..old].to_vec();
            rewritten[old / 2] = leaf_hash(b"rewritten");
            assert!(!verify_consistency(old as u64, &root(&rewritten), n as u64, &top, &proof), "{old} of {n}");
            if old < n {
                assert!(!verify_consistency(old as u64, &before, n as u64, &before, &proof));
                assert!(!verify_consistency(old as u64, &before, n as u64, &top, &[]), "{old} of {n}");
            }
        }
        assert_eq!(consistency(&of, n + 1), None);
    }
}

proptest! {
    #[test]
    fn a_frontier_has_the_root_of_its_leaves_and_goes_on_from_its_bytes(n in 0usize..300, cut in 0usize..300) {
        let of = leaves(n);
        let cut = cut.min(n);
        let mut frontier = Frontier::default();
        of[..cut].iter().for_each(|leaf| frontier.append(*leaf));
        let mut frontier = Frontier::new(frontier.size(), frontier.roots().to_vec()).unwrap();
        of[cut..].iter().for_each(|leaf| frontier.append(*leaf));
        // Root from the definition: the largest power of two to the left.
        fn plain(of: &[Hash]) -> Hash {
            if of.len() == 1 { return of[0]; }
            let k = (of.len() - 1).ilog2();
            let (left, right) = of.split_at(1 << k);
            fineprint::seal::node_hash(&plain(left), &plain(right))
        }
        if n > 0 { prop_assert_eq!(frontier.root(), plain(&of)); }
        prop_assert_eq!(frontier.size(), n as u64);
    }

    #[test]
    fn no_text_panics_as_note_or_key(text in "\\PC{0,200}") {
        let _ = Note::parse(&text);
        let _ = text.parse::<Verifier>();
        let _ = Signer::from_secret(&text);
    }
}

/// The example of the format's own description.
const PUBLISHED: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const PUBLISHED_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

#[test]
fn a_published_note_holds_and_is_written_as_it_was_read() {
    let verifier: Verifier = PUBLISHED_KEY.parse().unwrap();
    assert_eq!(verifier.to_string(), PUBLISHED_KEY);
    let note = Note::parse(PUBLISHED).unwrap();
    assert!(note.is_signed_by(&verifier));
    assert_eq!(note.to_string(), PUBLISHED);
}

#[test]
fn every_altered_byte_of_a_signed_checkpoint_is_found() {
    let signer = Signer::new("fineprint.test/log", &[7; 32]).unwrap();
    let of = leaves(5);
    let extensions = vec!["at 2026-01-01T00:00:00Z".to_string()];
    let checkpoint = Checkpoint { origin: "fineprint.test/log".to_string(), size: 5, root: root(&of), extensions };
    let mut note = checkpoint.to_note().unwrap();
    note.sign(&signer);
    let text = note.to_string();
    let read = Note::parse(&text).unwrap();
    assert!(read.is_signed_by(signer.verifier()));
    assert_eq!(Checkpoint::of(&read), Some(checkpoint));
    for at in 0..text.len() {
        for flip in [1u8, 0x20, 0x80] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= flip;
            let Ok(altered) = String::from_utf8(bytes) else { continue };
            let holds = Note::parse(&altered).is_ok_and(|note| note.is_signed_by(signer.verifier()));
            assert!(!holds, "byte {at} ^ {flip}: {altered}");
        }
    }
    let other = Signer::new("fineprint.test/log", &[8; 32]).unwrap();
    assert!(!read.is_signed_by(other.verifier()));
}

#[test]
fn a_witness_may_sign_beside_the_log() {
    let (log, witness) = (Signer::new("log", &[1; 32]).unwrap(), Signer::new("witness", &[2; 32]).unwrap());
    let mut note = Note::new("text\n".to_string()).unwrap();
    note.sign(&log);
    note.sign(&witness);
    let read = Note::parse(&note.to_string()).unwrap();
    assert!(read.is_signed_by(log.verifier()) && read.is_signed_by(witness.verifier()));
    assert_eq!(read.signers().collect::<Vec<_>>(), ["log", "witness"]);
}

#[test]
fn keys_come_back_and_altered_ones_are_told() {
    let signer = Signer::new("log", &[3; 32]).unwrap();
    assert_eq!(Signer::from_secret(&signer.to_secret()).unwrap().verifier(), signer.verifier());
    let public = signer.verifier().to_string();
    assert_eq!(public.parse::<Verifier>().as_ref(), Ok(signer.verifier()));
    assert_eq!(public.replace("log+", "lug+").parse::<Verifier>(), Err(BadKey::Hash));
    assert_eq!("nothing".parse::<Verifier>(), Err(BadKey::Form));
    assert_eq!(Signer::from_secret(&public).err(), Some(BadKey::Private));
    assert_eq!(Signer::new("a b", &[0; 32]).err(), Some(BadKey::Name("a b".to_string())));
    assert!(!format!("{signer:?}").contains(&signer.to_secret()));
}
