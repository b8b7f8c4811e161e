//! What makes a log tamper-evident: a Merkle tree over its entries (RFC 6962), proofs that an entry is in it and that a tree
//! grew out of an earlier one, and signed checkpoints of its size and root (C2SP checkpoint and signed-note shapes). Pure: who
//! keeps the entries, draws the key and sends checkpoints on stands elsewhere.

mod checkpoint;
mod key;
mod merkle;
mod note;
mod tree;

pub use checkpoint::Checkpoint;
pub use key::{BadKey, Signer, Verifier};
pub use merkle::{
    Frontier, Hash, consistency, inclusion, leaf_hash, node_hash, root, verify_consistency, verify_inclusion,
};
pub use note::{BadNote, Note, SIGNATURES_MAX};
pub use tree::Tree;
