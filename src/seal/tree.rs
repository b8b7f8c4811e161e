//! A whole tree in memory, for who takes many proofs of it: each costs the square of the logarithm of its size.

use sha2::{Digest, Sha256};

use super::merkle::{Hash, node_hash, split};

/// Roots of all perfect subtrees: 64 bytes for each leaf.
#[derive(Debug, Clone)]
pub struct Tree {
    /// By height: the roots over the leaves `i << height` to `(i + 1) << height`.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over leaves.
    pub fn new(leaves: Vec<Hash>) -> Tree {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let above = last.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push(above);
        }
        Tree { levels }
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root over the first `size` leaves; `None` where there are fewer.
    pub fn root(&self, size: u64) -> Option<Hash> {
        match size {
            0 => Some(Sha256::digest(b"").into()),
            size => self.range(0, self.fits(size)?),
        }
    }

    /// As [`super::inclusion`] over the first `size` leaves.
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        let (mut from, mut to) = (0, self.fits(size)?);
        let index = usize::try_from(index).ok().filter(|index| *index < to)?;
        let mut proof = Vec::new();
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// As [`super::consistency`] over the first `size` leaves.
    pub fn consistency(&self, old: u64, size: u64) -> Option<Vec<Hash>> {
        let (mut from, mut to) = (0, self.fits(size)?);
        let old = usize::try_from(old).ok().filter(|old| *old <= to)?;
        let mut proof = Vec::new();
        if old == 0 || old == to {
            return Some(proof);
        }
        while old < to {
            let middle = from + split(to - from);
            if old <= middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        if from > 0 {
            proof.push(self.range(from, to)?);
        }
        proof.reverse();
        Some(proof)
    }

    fn fits(&self, size: u64) -> Option<usize> {
        usize::try_from(size).ok().filter(|_| size <= self.size())
    }

    /// The root over some leaves. `from` is a multiple of every power of two below their number.
    fn range(&self, from: usize, to: usize) -> Option<Hash> {
        let n = to.checked_sub(from).filter(|n| *n > 0)?;
        if n.is_power_of_two() {
            let height = n.trailing_zeros() as usize;
            return self.levels.get(height)?.get(from >> height).copied();
        }
        let middle = from + split(n);
        Some(node_hash(&self.range(from, middle)?, &self.range(middle, to)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::merkle::{consistency, inclusion, leaf_hash, root};
    use super::Tree;

    #[test]
    fn its_proofs_are_those_of_the_plain_functions() {
        let leaves: Vec<_> = (0u8..40).map(|n| leaf_hash(&[n])).collect();
        let tree = Tree::new(leaves.clone());
        for size in 0..=40 {
            let part = &leaves[..size];
            assert_eq!(tree.root(size as u64), Some(root(part)));
            for at in 0..=size {
                assert_eq!(tree.inclusion(at as u64, size as u64), inclusion(part, at), "{at} of {size}");
                assert_eq!(tree.consistency(at as u64, size as u64), consistency(part, at), "{at} to {size}");
            }
        }
        assert_eq!((tree.root(41), tree.inclusion(0, 41), tree.consistency(1, 41)), (None, None, None));
    }
}
