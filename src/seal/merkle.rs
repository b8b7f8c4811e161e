//! The Merkle tree of RFC 6962 (hashing: section 2.1; verifying: RFC 9162, section 2.1.3 and 2.1.4) over SHA-256.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The hash of an entry: `SHA-256(0x00 ‖ entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of two subtrees: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over leaves; of none it is `SHA-256("")`.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

/// The right edge of a tree: enough to append to it and to tell its root, 32 bytes for each set bit of its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees, the largest first.
    roots: Vec<Hash>,
}

impl Frontier {
    /// A frontier as [`Frontier::roots`] gave it; `None` where the number of roots does not fit the size.
    pub fn new(size: u64, roots: Vec<Hash>) -> Option<Frontier> {
        (roots.len() == size.count_ones() as usize).then_some(Frontier { size, roots })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, the largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            node = node_hash(&left, &node);
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root of the whole tree.
    pub fn root(&self) -> Hash {
        let fold = |right: Option<Hash>, left: &Hash| Some(right.map_or(*left, |right| node_hash(left, &right)));
        self.roots.iter().rev().fold(None, fold).unwrap_or_else(|| Sha256::digest(b"").into())
    }
}

/// Proves that the leaf at `index` is in the tree over `leaves`: the siblings from the leaf up. `None` beyond its end.
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    let mut proof = Vec::new();
    path(leaves, index, &mut proof)?;
    Some(proof)
}

fn path(leaves: &[Hash], index: usize, proof: &mut Vec<Hash>) -> Option<()> {
    if leaves.len() <= 1 {
        return (index < leaves.len()).then_some(());
    }
    let (left, right) = leaves.split_at_checked(split(leaves.len()))?;
    if index < left.len() {
        path(left, index, proof)?;
        proof.push(root(right));
    } else {
        path(right, index - left.len(), proof)?;
        proof.push(root(left));
    }
    Some(())
}

/// The largest power of two below `n`, which is above 1.
pub(super) fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// Whether a leaf is at `index` of the tree of `size` with this root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut node) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// Proves that the tree over `leaves` grew out of the tree over its first `old` leaves. `None` where it has fewer.
pub fn consistency(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    if old > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    if old > 0 && old < leaves.len() {
        grown(leaves, old, true, &mut proof)?;
    }
    Some(proof)
}

fn grown(leaves: &[Hash], old: usize, whole: bool, proof: &mut Vec<Hash>) -> Option<()> {
    if old == leaves.len() {
        if !whole {
            proof.push(root(leaves));
        }
        return Some(());
    }
    let (left, right) = leaves.split_at_checked(split(leaves.len()))?;
    if old <= left.len() {
        grown(left, old, whole, proof)?;
        proof.push(root(right));
    } else {
        grown(right, old - left.len(), false, proof)?;
        proof.push(root(left));
    }
    Some(())
}

/// Whether the tree of `size` with `root` grew out of the tree of `old` with `old_root`: nothing was altered, taken out or
/// put in between.
pub fn verify_consistency(old: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old > size {
        return false;
    }
    if old == size {
        return proof.is_empty() && old_root == root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == <Hash>::from(Sha256::digest(b""));
    }
    let mut rest = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut at, mut last) = (old - 1, size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut before, mut now) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            before = node_hash(sibling, &before);
            now = node_hash(sibling, &now);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            now = node_hash(&now, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && before == *old_root && now == *root
}
