import Foundation
import Synchronization
import TestSupport
import Testing

@testable import MMoETensor

/// Pool, workers, random numbers and kernels.
@Suite struct CoreTests {
  /// Regions of a microsecond, many more threads than cores: no tile is lost or done twice, and no worker holds a
  /// region's closure longer than the region lasts (Swift would trap).
  @Test(.timeLimit(.minutes(2)), arguments: [2, 7]) func manyShortRegions(threads: Int) {
    let pool = WorkerPool(threads: threads)
    defer { pool.shutDown() }
    let counter = Atomic<Int>(0)
    var expected = 0
    for region in 0..<100_000 {
      let tiles = 2 + region % 5
      pool.run(tiles) { tile, _ in counter.add(tile + 1, ordering: .relaxed) }
      expected += tiles * (tiles + 1) / 2
    }
    #expect(counter.load(ordering: .sequentiallyConsistent) == expected)
  }

  @Test func tilesCoverEverythingOnce() {
    for length in [0, 1, 15, 16, 17, 191, 192, 193, 1000, 4096, 4097] {
      for target in [1, 64, 192] {
        let tiling = Tiling(length, target: target)
        var next = 0
        for tile in 0..<tiling.count {
          #expect(tiling[tile].lowerBound == next)
          #expect(tiling[tile].count <= tiling.longest)
          next = tiling[tile].upperBound
        }
        #expect(next == length)
      }
    }
  }

  @Test func sizeClassesWasteLittle() {
    for bytes in [1, 511, 512, 513, 4096, 5000, 1 << 20, (1 << 20) + 1, 123_456_789] {
      let size = BufferPool.sizeClass(bytes)
      #expect(size >= bytes && size % 64 == 0)
      #expect(bytes < 4096 || Double(size) <= 1.126 * Double(bytes), "\(bytes) → \(size)")
      #expect(BufferPool.sizeClass(size) == size)
    }
  }

  @Test func buffersComeBack() {
    for bytes in [54_321, 1 << 20] {
      let pool = BufferPool()
      let first = pool.take(bytes)
      #expect(UInt(bitPattern: first) % 64 == 0)
      pool.give(first, bytes)
      #expect(pool.take(bytes) == first)
    }
  }

  /// Philox 4×32-10 has no state: a draw depends on its coordinates alone, and purposes do not share sequences.
  @Test func drawsAreFunctions() {
    let random = CounterRandom(seed: 5, purpose: .test, a: 2, b: 3)
    #expect(random.uniform(1000) == CounterRandom(seed: 5, purpose: .test, a: 2, b: 3).uniform(1000))
    let others = [
      CounterRandom(seed: 6, purpose: .test, a: 2, b: 3),
      CounterRandom(seed: 5, purpose: .shuffle, a: 2, b: 3),
      CounterRandom(seed: 5, purpose: .test, a: 3, b: 2),
    ]
    for other in others { #expect(other.block(7) != random.block(7)) }
    let n = 100_000
    let normals = (0..<n).map { Double(random.normal(UInt64($0))) }
    let mean = normals.reduce(0, +) / Double(n)
    let variance = normals.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
    #expect(abs(mean) < 0.015 && abs(variance - 1) < 0.02)
    let uniforms = (0..<n).map { random.uniform(UInt64($0)) }
    #expect(uniforms.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(random.permutation(1000).sorted() == Array(0..<1000))
  }

  /// exp and GELU of the vector kernels, tails included, against the C library in double precision.
  @Test func kernelsAreAccurate() throws {
    let engine = try Engine(threads: 1)
    let width = 37
    let x = randomTensor([9, width], seed: 1, scale: 6)
    let tape = Tape(engine, recording: false)
    let p = tape.gate(x, k: 1, renormalize: false).probabilities
    let softmax = tape.crossEntropy(x.copy(), targets: [Int32](repeating: 3, count: 9))
    for row in 0..<9 {
      let z = (0..<width).map { Double(x.pointer[row * width + $0]) }
      let top = z.max()!
      let sum = z.reduce(0) { $0 + exp($1 - top) }
      for c in 0..<width {
        #expect(abs(Double(p.pointer[row * width + c]) - exp(z[c] - top) / sum) < 5e-7)
      }
      #expect(abs(Double(softmax.losses[row]) - (top + log(sum) - z[3])) < 5e-6)
    }
  }

  /// Products with nothing to sum: an expert without tokens.
  @Test(arguments: BLASBackend.allCases.filter { (try? Engine(threads: 1, backend: $0)) != nil })
  func emptyProducts(backend: BLASBackend) throws {
    let engine = try Engine(threads: 1, backend: backend)
    let c = Tensor(repeating: 3, shape: [2, 2])
    let none = Tensor(uninitialized: [1])
    engine.product(false, false, 2, 2, 0, none.pointer, 1, none.pointer, 2, beta: 1, c.pointer, 2)
    #expect(c.values == [3, 3, 3, 3])
    engine.product(false, false, 2, 2, 0, none.pointer, 1, none.pointer, 2, beta: 0, c.pointer, 2)
    #expect(c.values == [0, 0, 0, 0])
  }

  /// A tensor used twice gets both gradients, whichever use comes first.
  @Test func gradientsOfSeveralUsesAddUp() throws {
    let tape = Tape(try Engine(threads: 1), recording: true)
    let x = Tensor([1, 2], shape: [1, 2])
    tape.watch(x)
    let y = tape.add(tape.add(x, x), x)
    tape.innerProduct(y, with: Tensor([1, 10], shape: [1, 2]))
    tape.backward()
    #expect(x.gradient?.values == [3, 30])
  }
}
