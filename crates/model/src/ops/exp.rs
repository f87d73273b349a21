//! The exponential function, written so that the compiler can compute many at once.
//!
//! `e^x = 2^n · e^r` with `|r| <= ln 2 / 2` and a polynomial for `e^r` (the minimax coefficients of the Cephes library's
//! `expf`, Moshier 1992). Relative error below 3e-7.

/// `e^x`; 0 below -87.3 and about 1.6e38 above 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.3, 88.0);
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer without a library call.
    let magic = 12_582_912.0_f32;
    let n = (clamped * std::f32::consts::LOG2_E + magic) - magic;
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_66;
    p = p * r + 0.5;
    let fraction = p * r * r + r + 1.0;
    let scale = f32::from_bits((((n as i32) + 127) << 23) as u32);
    if x < -87.3 { 0.0 } else { fraction * scale }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    ((1.0 - e) / (1.0 + e)).copysign(x)
}

/// Compiles a function's body for AVX2 and AVX-512 as well and picks at run time. The function must be pure arithmetic on slices.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma")]
                fn wide($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn middle($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
                match $crate::ops::kernel::isa() {
                    // SAFETY: the instruction set was detected on this machine.
                    $crate::ops::kernel::Isa::Avx512 => return unsafe { wide($($arg),*) },
                    // SAFETY: the instruction set was detected on this machine.
                    $crate::ops::kernel::Isa::Avx2 => return unsafe { middle($($arg),*) },
                    $crate::ops::kernel::Isa::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use vectorised;

vectorised! {
    /// Replaces each value by `e^(value - shift)` and returns the sum.
    pub fn exp_sum(values: &mut [f32], shift: f32) -> f32 {
        let mut lanes = [0.0_f32; 16];
        let mut chunks = values.chunks_exact_mut(16);
        for chunk in &mut chunks {
            for (x, lane) in chunk.iter_mut().zip(&mut lanes) {
                *x = exp(*x - shift);
                *lane += *x;
            }
        }
        let mut sum: f32 = lanes.iter().sum();
        for x in chunks.into_remainder() {
            *x = exp(*x - shift);
            sum += *x;
        }
        sum
    }
}

vectorised! {
    /// The largest value; negative infinity for none.
    pub fn max(values: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; 16];
        let chunks = values.chunks_exact(16);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = if *x > *lane { *x } else { *lane };
            }
        }
        lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_to_two_parts_in_ten_million() {
        let mut x = -87.0_f32;
        while x < 87.0 {
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / exact - 1.0).abs() < 3e-7, "exp({x}) = {ours}, not {exact}");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7);
            x += 0.0137;
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_cover_the_remainder() {
        let mut v: Vec<f32> = (0..37).map(|i| i as f32 / 10.0).collect();
        assert_eq!(max(&v), 3.6);
        let expected: f32 = v.iter().map(|x| (x - 3.6).exp()).sum();
        assert!((exp_sum(&mut v, 3.6) - expected).abs() < 1e-5);
    }
}
