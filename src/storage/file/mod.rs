//! Storage in files.
use super::*;
use std::path::Path;
/// Stub.
#[derive(Debug)]
pub struct FileStorage;
impl FileStorage {
    /// Stub.
    pub fn open(_: impl AsRef<Path>) -> Result<Self, StorageError> {
        Err(StorageError::Closed)
    }
}
impl Storage for FileStorage {
    fn end(&self) -> Position {
        Position::FIRST
    }
    fn first(&self) -> Position {
        Position::FIRST
    }
    fn commit(&self, _: Commit) -> Result<Position, StorageError> {
        Err(StorageError::Closed)
    }
    fn read(&self, _: Position, _: usize, _: usize) -> Result<Vec<Record>, StorageError> {
        Ok(vec![])
    }
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(None)
    }
    fn scan(
        &self,
        _: &[u8],
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StorageError> {
        Ok(vec![])
    }
    fn close(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
