//! Actions in the log: writing and reading entries, acts of people, questions.

use std::collections::BTreeSet;

use super::actions::{self, ActionFilter, ActionPlace, ENTRIES_PAGE};
use super::error::{At, StoreError};
use super::outbox::{self, AlertRoutes};
use super::{Store, sealed};
use crate::enforce::{Action, ActionId, Entry, Options, Refusal, Table};

impl Store {
    /// Writes entries of actions in one transaction; once they are on the disk, those that were written, with their numbers, in
    /// their order. One that is there already is passed over, so that writing the same again is harmless. Whoever keeps a
    /// [`Table`] applies what [`Store::action_entries`] hands out, not what it wrote: others write too, and the log's order counts.
    ///
    /// # Errors
    /// Nothing is kept: opened for reading, disk full, locked for too long.
    pub async fn append_actions(&mut self, entries: &[Entry]) -> Result<Vec<Entry>, StoreError> {
        self.append_actions_telling(entries, &AlertRoutes::new()).await
    }

    /// The same, and lets the alerts among them wait for the targets of their channels, in the same transaction.
    ///
    /// # Errors
    /// As [`Store::append_actions`].
    pub async fn append_actions_telling(
        &mut self,
        entries: &[Entry],
        routes: &AlertRoutes,
    ) -> Result<Vec<Entry>, StoreError> {
        let written = self.write_actions(entries, routes).await;
        self.undo_where_failed(written).await
    }

    async fn write_actions(&mut self, entries: &[Entry], routes: &AlertRoutes) -> Result<Vec<Entry>, StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let written = actions::append(path, writer, entries).await?;
        outbox::insert(writer, &written, routes).await.at("write alerts to", path)?;
        let seals = actions::seals(writer, &written).await.at("seal actions of", path)?;
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        self.complete().await?;
        Ok(written)
    }

    /// Does an act on actions, each named by its id or the beginning of it, in one transaction: `act` says what to write by the
    /// action as it stands, which nobody changes meanwhile. Each action afterwards, and what was written of it. The log is
    /// opened with [`super::Access::Review`] or for a run.
    ///
    /// # Errors
    /// Nothing is written: no action or more than one begins so, `act` refuses, and as [`Store::append_actions`].
    pub async fn act(
        &mut self,
        ids: &[&str],
        act: impl FnMut(&Table, ActionId) -> Result<Vec<Entry>, Refusal>,
    ) -> Result<Vec<(Action, Vec<Entry>)>, StoreError> {
        let acted = self.write_acts(ids, act).await;
        self.undo_where_failed(acted).await
    }

    async fn write_acts(
        &mut self,
        ids: &[&str],
        mut act: impl FnMut(&Table, ActionId) -> Result<Vec<Entry>, Refusal>,
    ) -> Result<Vec<(Action, Vec<Entry>)>, StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let (mut named, mut acted) = (BTreeSet::new(), Vec::new());
        for prefix in ids {
            let none = || StoreError::NoAction { path: path.to_owned(), id: (*prefix).to_owned() };
            let id = actions::find(path, writer, prefix).await?.ok_or_else(none)?;
            if !named.insert(id) {
                continue;
            }
            let (mut table, _) = actions::one(writer, id).await.at("look into", path)?.ok_or_else(none)?;
            let written = actions::append(path, writer, &act(&table, id)?).await?;
            for entry in &written {
                table.apply(entry);
            }
            acted.push((table.get(id).cloned().ok_or_else(none)?, written));
        }
        let written: Vec<Entry> = acted.iter().flat_map(|(_, written)| written.iter().cloned()).collect();
        let seals = actions::seals(writer, &written).await.at("seal actions of", path)?;
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        self.complete().await?;
        Ok(acted)
    }

    /// Entries of actions with higher numbers than `seq`, in their order, at most [`ENTRIES_PAGE`]: what was written since, by
    /// whomever.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn action_entries(&self, seq: u64) -> Result<Vec<Entry>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        actions::since(&mut conn, seq, ENTRIES_PAGE).await.at("read the actions of", &self.path)
    }

    /// The table that follows from all entries of the log.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn action_table(&self, options: Options) -> Result<Table, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        let mut table = Table::new(options);
        loop {
            let page =
                actions::since(&mut tx, table.seq(), ENTRIES_PAGE).await.at("read the actions of", &self.path)?;
            for entry in &page {
                table.apply(entry);
            }
            if (page.len() as u64) < ENTRIES_PAGE {
                return Ok(table);
            }
        }
    }

    /// Actions as they stand, by the moment of their proposal and their id, at most `filter.limit`.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn actions(&self, filter: &ActionFilter) -> Result<Vec<Action>, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        actions::list(&mut tx, filter).await.at("list the actions of", &self.path)
    }

    /// A page of actions, by the moment of their proposal and their id: at most `limit` behind `after`, and where the next page
    /// begins; `None` at the end. It looks at [`super::LOOKED_AT_MAX`] actions at most: with a filter it may hold fewer, or none,
    /// and not be the last. `filter.limit` is passed over.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn action_page(
        &self,
        filter: &ActionFilter,
        after: Option<&ActionPlace>,
        limit: u64,
    ) -> Result<(Vec<Action>, Option<ActionPlace>), StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        actions::page(&mut tx, filter, after, limit).await.at("list the actions of", &self.path)
    }

    /// An action with all its entries, by its id or the beginning of it; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::AmbiguousAction`] where several begin so.
    pub async fn action(&self, id_or_prefix: &str) -> Result<Option<(Action, Vec<Entry>)>, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        let Some(id) = actions::find(&self.path, &mut tx, id_or_prefix).await? else { return Ok(None) };
        let found = actions::one(&mut tx, id).await.at("look into", &self.path)?;
        Ok(found.and_then(|(table, entries)| Some((table.get(id)?.clone(), entries))))
    }

    /// How SQLite answers a filter of actions, one step a line. For tests.
    #[doc(hidden)]
    pub async fn action_query_plan(&self, filter: &ActionFilter) -> Result<Vec<String>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        actions::plan(&mut conn, filter).await.at("explain", &self.path)
    }
}
