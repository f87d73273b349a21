//! What a pass carries with it: buffers that are used again instead of being allocated anew, and the seed of its noise.

/// A pool of float buffers, and the seed of the noise that training draws.
#[derive(Debug, Default)]
pub struct Workspace {
    free: Vec<Vec<f32>>,
    /// Values of all its buffers, here or taken.
    held: usize,
    /// Fixes dropout in a pass forward and back; absent, nothing is dropped.
    pub noise: Option<u64>,
}

impl Workspace {
    /// A buffer of `len` values with arbitrary contents: the smallest free one that is large enough and not much too large, as
    /// one that was cut short is cleared when it grows again. Where there is none, a free one that is not much too small goes
    /// for the new one, so that batches of growing sizes do not pile up.
    pub fn take(&mut self, len: usize) -> Vec<f32> {
        let (found, dropped) = choose(self.free.iter().map(Vec::capacity), len);
        if let Some(i) = found {
            let mut buffer = self.free.swap_remove(i);
            buffer.resize(len, 0.0);
            return buffer;
        }
        if let Some(i) = dropped {
            self.held -= self.free.swap_remove(i).capacity();
        }
        let mut buffer = Vec::new();
        buffer.resize(len, 0.0);
        self.held += buffer.capacity();
        buffer
    }

    /// Values of all buffers that it made and has not dropped.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether every buffer that it made is back.
    pub fn is_whole(&self) -> bool {
        self.free.iter().map(Vec::capacity).sum::<usize>() == self.held
    }

    /// A buffer of zeros.
    pub fn zeros(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Hands a buffer back.
    pub fn give(&mut self, buffer: Vec<f32>) {
        if buffer.capacity() > 0 {
            self.free.push(buffer);
        }
    }
}

/// Which of the free buffers of these capacities is taken for `len` values; failing that, which one goes.
pub(crate) fn choose(free: impl Iterator<Item = usize> + Clone, len: usize) -> (Option<usize>, Option<usize>) {
    let fits = |(i, capacity): (usize, usize)| (capacity >= len && capacity / 2 <= len).then_some((capacity, i));
    let found = free.clone().enumerate().filter_map(fits).min().map(|(_, i)| i);
    let small = |(i, capacity): (usize, usize)| (capacity < len && capacity > len / 2).then_some((capacity, i));
    (found, free.enumerate().filter_map(small).max().map(|(_, i)| i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_used_again() {
        let mut workspace = Workspace::default();
        let buffer = workspace.take(100);
        let address = buffer.as_ptr();
        workspace.give(buffer);
        let again = workspace.take(80);
        assert_eq!(again.as_ptr(), address);
        assert!(workspace.zeros(80).iter().all(|x| *x == 0.0));
    }
}
