//! What a pass carries with it: buffers that are used again instead of being allocated anew, and the seed of its noise.

/// A pool of float buffers, and the seed of the noise that training draws.
#[derive(Debug, Default)]
pub struct Workspace {
    free: Vec<Vec<f32>>,
    /// Fixes dropout in a pass forward and back; absent, nothing is dropped.
    pub noise: Option<u64>,
}

impl Workspace {
    /// A buffer of `len` values with arbitrary contents: the smallest free one that is large enough and not much too large, as
    /// one that was cut short is cleared when it grows again.
    pub fn take(&mut self, len: usize) -> Vec<f32> {
        let fits =
            |(i, b): (usize, &Vec<f32>)| (b.capacity() >= len && b.capacity() / 2 <= len).then_some((b.capacity(), i));
        let best = self.free.iter().enumerate().filter_map(fits).min();
        let mut buffer = best.map(|(_, i)| self.free.swap_remove(i)).unwrap_or_default();
        buffer.resize(len, 0.0);
        buffer
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
