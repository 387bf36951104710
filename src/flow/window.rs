//! Chunks read and hashed once for several receivers: the last few stay where all can take them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::frames::Framed;

/// Bytes kept. Who falls further behind the first than this reads for itself again.
const KEPT: usize = 24 << 20;

/// What keeping a chunk takes beside its bytes: of tiny files it is the most.
const AROUND: usize = 512;

/// Which chunk: entry and index.
pub(super) type Key = (u32, u32);

/// A cell that whoever comes first fills, while others wait for it.
type Cell<T> = Arc<OnceLock<Option<Arc<T>>>>;

/// The window. `T` is what is made of a chunk.
#[derive(Debug)]
pub(super) struct Window<T = Framed> {
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    cells: HashMap<Key, Cell<T>>,
    order: VecDeque<(Key, usize)>,
    bytes: usize,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { kept: Mutex::new(Kept { cells: HashMap::new(), order: VecDeque::new(), bytes: 0 }) }
    }
}

impl<T> Window<T> {
    /// What was made of this chunk of `length` bytes, or what `make` makes of it now. `None` where that
    /// fails: each then tries for itself and learns why.
    pub(super) fn get(&self, key: Key, length: usize, make: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        let cell = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.cell(key, length + AROUND)
        };
        cell.get_or_init(|| make().map(Arc::new)).clone()
    }
}

impl<T> Kept<T> {
    fn cell(&mut self, key: Key, length: usize) -> Cell<T> {
        if let Some(cell) = self.cells.get(&key) {
            return cell.clone();
        }
        let cell = Cell::default();
        self.cells.insert(key, cell.clone());
        self.order.push_back((key, length));
        self.bytes += length;
        while self.bytes > KEPT
            && let Some((oldest, length)) = self.order.pop_front()
        {
            self.cells.remove(&oldest);
            self.bytes -= length;
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_several_want_at_once_is_made_once() {
        let (window, made) = (Window::<u32>::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for chunk in 0..20 {
                        let got = window.get((0, chunk), 1 << 20, || {
                            made.fetch_add(1, Ordering::Relaxed);
                            Some(chunk)
                        });
                        assert_eq!(*got.unwrap(), chunk);
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 20);
    }

    #[test]
    fn tiny_chunks_take_room_too() {
        let window = Window::<u32>::default();
        for chunk in 0..100_000 {
            window.get((chunk, 0), 1, || Some(chunk));
        }
        assert!(window.kept.lock().unwrap().cells.len() < KEPT / AROUND);
    }

    #[test]
    fn no_more_is_kept_than_has_room() {
        let window = Window::<u32>::default();
        for chunk in 0..100 {
            window.get((0, chunk), 1 << 20, || Some(chunk));
        }
        let kept = window.kept.lock().unwrap();
        assert!(kept.bytes <= KEPT && kept.cells.len() == kept.order.len());
    }
}
