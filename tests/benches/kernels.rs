//! The kernels beside a memcpy of the same row: `cargo bench --bench kernels`.
//!
//! Throughput is that of source bytes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking, and is no library")]

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use half::{bf16, f16};
use ptqd::{
    numeric::{DType, Element, ElementVisitor, FloatFormat, Packing, SourceFloat},
    quant::{Granularity, Scheme, kernels, kernels::Isa, qparams, reference},
};

/// A row of a large model, in cache like the parts that a job works on.
const COLUMNS: usize = 4096;

fn row<S: SourceFloat>() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0).powi(3)
    };
    let bytes = |x: f32| match S::FORMAT {
        FloatFormat::F32 => x.to_le_bytes().to_vec(),
        FloatFormat::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
        FloatFormat::Bf16 => bf16::from_f32(x).to_le_bytes().to_vec(),
    };
    (0..COLUMNS).flat_map(|_| bytes(next())).collect()
}

struct Kernels<'a, 'b, S>(&'a mut BenchmarkGroup<'b, WallTime>, &'a [u8], DType, std::marker::PhantomData<S>);

impl<S: SourceFloat> ElementVisitor for Kernels<'_, '_, S> {
    type Output = ();
    fn visit<E: Element>(self) {
        let Kernels(group, row, dtype, _) = self;
        let scheme = Scheme::torchao(dtype, Granularity::PerTensor);
        let extent = reference::min_max(&reference::elements::<S>(row)).unwrap();
        let params = qparams(extent, &scheme, S::FORMAT);
        let mut codes = vec![0; COLUMNS];
        for isa in Isa::present() {
            group.bench_function(format!("{dtype} quantize {}", isa.name()), |b| {
                b.iter(|| {
                    black_box(kernels::quantize::<S, E>(isa, black_box(row), params, scheme.quotient, &mut codes))
                });
            });
        }
    }
}

fn format<S: SourceFloat>(c: &mut Criterion) {
    let row = row::<S>();
    let mut group = c.benchmark_group(format!("{:?}", S::FORMAT));
    group.throughput(Throughput::Bytes(row.len() as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    let mut copy = vec![0; row.len()];
    group.bench_function("memcpy", |b| b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&row))));
    for isa in Isa::present() {
        group.bench_function(format!("absmax {}", isa.name()), |b| {
            b.iter(|| black_box(kernels::absmax::<S>(isa, black_box(&row))));
        });
    }
    for dtype in DType::ALL {
        dtype.visit(Kernels::<S>(&mut group, &row, dtype, std::marker::PhantomData));
    }
    let codes = vec![7; COLUMNS];
    let mut packed = Vec::new();
    for packing in [Packing::Words { bits: 4 }, Packing::Words { bits: 8 }, Packing::Nibbles] {
        group.bench_function(format!("{packing:?}"), |b| {
            b.iter(|| packing.pack(black_box(&codes), COLUMNS, black_box(&mut packed)));
        });
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    format::<bf16>(c);
    format::<f16>(c);
    format::<f32>(c);
}

criterion_group!(benches, all);
criterion_main!(benches);
