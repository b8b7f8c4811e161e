//! What a server writes beside the session: decisions that were given, and notes of what happens to it.

use super::error::{At, StoreError};
use super::given::{self, Given, GivenFilter, GivenPlace, GivenProof};
use super::notes::{self, Noted, ServerNote};
use super::{Store, sealed};
use crate::time::Timestamp;

impl Store {
    /// Writes decisions that were given, in one transaction. The log is opened with [`crate::store::Access::Review`] or for a run.
    ///
    /// # Errors
    /// Nothing is written: opened for reading, disk full, locked for too long.
    pub async fn give(&mut self, given: &[Given]) -> Result<(), StoreError> {
        let written = self.write_given(given).await;
        self.undo_where_failed(written).await
    }

    async fn write_given(&mut self, given: &[Given]) -> Result<(), StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let seals = given::insert(path, writer, given).await?;
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        self.complete().await
    }

    /// Removes the oldest of the batches in which decisions were given, where all of it is from before a moment; how many
    /// decisions. Again, until there are none.
    ///
    /// # Errors
    /// As [`Store::give`].
    pub async fn forget_given(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let removed = self.remove_given(before).await;
        self.undo_where_failed(removed).await
    }

    async fn remove_given(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let (removed, seal) = given::forget(writer, before).await.at("remove decisions from", path)?;
        let seals: Vec<_> = seal.into_iter().collect();
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        self.complete().await?;
        Ok(removed)
    }

    /// Erases the decisions that were given on an account; how many. A hash of each is left, so that the log holds as before.
    ///
    /// # Errors
    /// As [`Store::give`].
    pub async fn erase_given(&mut self, account: &str) -> Result<u64, StoreError> {
        let erased = self.write_given_erasure(account).await;
        self.undo_where_failed(erased).await
    }

    async fn write_given_erasure(&mut self, account: &str) -> Result<u64, StoreError> {
        let (path, writer) = self.begin().await?;
        let erased = given::erase(writer, account).await.at("erase decisions of", path)?;
        self.complete().await?;
        Ok(erased)
    }

    /// Proves that a decision was given: the path from it to the digest of the entry that seals its batch. `None` where there
    /// is none of this number, or nothing seals it.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn prove_given(&self, number: u64) -> Result<Option<GivenProof>, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        given::prove(&mut tx, i64::try_from(number).unwrap_or(i64::MAX)).await.at("prove a decision of", &self.path)
    }

    /// Notes what happens to a server, in one transaction. Who may call is noted where it is not what it was.
    ///
    /// # Errors
    /// As [`Store::give`].
    pub async fn note(&mut self, kind: Noted, at: Timestamp, details: &serde_json::Value) -> Result<(), StoreError> {
        let noted = self.write_note(kind, at, details).await;
        self.undo_where_failed(noted).await
    }

    async fn write_note(&mut self, kind: Noted, at: Timestamp, details: &serde_json::Value) -> Result<(), StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let seals: Vec<_> = notes::insert(writer, kind, at, details).await.at("note in", path)?.into_iter().collect();
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        self.complete().await
    }

    /// What happened to the server, in order.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn notes(&self) -> Result<Vec<ServerNote>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        notes::all(&mut conn).await.at("read the notes of", &self.path)
    }

    /// A page of decisions that were given, in order of (moment, number): at most `limit`, and where the next page begins; `None`
    /// at the end. It looks at [`crate::store::LOOKED_AT_MAX`] rows at most: with a filter it may hold fewer rows, or none, and not be the last.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn given(
        &self,
        filter: &GivenFilter,
        limit: u64,
    ) -> Result<(Vec<Given>, Option<GivenPlace>), StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        given::page(&mut tx, filter, limit).await.at("list the decisions of", &self.path)
    }

    /// The decision that was given with this number; `None` if there is none.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn given_one(&self, number: u64) -> Result<Option<Given>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        given::one(&mut conn, number).await.at("read the decisions of", &self.path)
    }
}
