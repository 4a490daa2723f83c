import CBLAS
import CKernels
import Foundation
import MMoEFiles

/// The matrix-product library. Results are bit-identical for one backend on one CPU level.
public enum BLASBackend: String, CaseIterable, Sendable, Codable {
  case oneDNN = "onednn"
  case openBLAS = "openblas"

  /// The fixed rule: oneDNN where it was built in, else OpenBLAS. Never chosen by timing.
  public static var preferred: BLASBackend { mmoe_blas_has_onednn() ? .oneDNN : .openBLAS }

  var handle: mmoe_blas { self == .oneDNN ? MMOE_BLAS_ONEDNN : MMOE_BLAS_OPENBLAS }
}

/// What of the engine cannot be set up, and shapes that do not fit.
public struct EngineError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}

/// What operations compute with: the worker pool, the matrix-product backend and scratch memory.
public final class Engine: @unchecked Sendable {
  public let pool: WorkerPool
  public let backend: BLASBackend
  /// What matrix products of layers read. Routers, norms, softmax, losses and the optimizer are float32 always.
  public let dtype: DType
  /// When every operation ran, where someone wants to know.
  public var timeline: Timeline?
  /// Advances what is in flight. The main thread calls it between operators and between its tiles; it must return within
  /// microseconds and must not use the pool.
  public var progress: (() -> Void)? {
    get { pool.progress }
    set { pool.progress = newValue }
  }
  private var scratch: [[Storage]] = [[], [], [], []]

  /// - Parameters:
  ///   - threads: computing threads; the number of cores when nil.
  ///   - backend: the matrix-product library; the fixed rule when nil.
  ///   - dtype: what products read.
  /// - Throws: `EngineError` when the library is not there, or cannot multiply in this type on this CPU.
  public init(threads: Int? = nil, backend: BLASBackend? = nil, dtype: DType = .float32) throws {
    let chosen = backend ?? .preferred
    var buffer = [CChar](repeating: 0, count: 256)
    var message: String {
      String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
    guard mmoe_blas_open(chosen.handle, &buffer) else { throw EngineError(message) }
    if dtype == .bf16 {
      guard chosen == .oneDNN else {
        throw EngineError(
          "dtype is bf16, but \(chosen.rawValue) multiplies in float32 only; give tensor.blas=onednn or dtype=float32")
      }
      guard mmoe_blas_open_bf16(&buffer) else {
        throw EngineError("dtype is bf16, but \(message); give dtype=float32")
      }
    }
    self.backend = chosen
    self.dtype = dtype
    pool = WorkerPool(threads: threads ?? ProcessInfo.processInfo.activeProcessorCount)
  }

  deinit { pool.shutDown() }

  public var threads: Int { pool.threads }

  /// The matrix-product library, its version and the kernels that it chose for this CPU.
  package var library: String { String(cString: mmoe_blas_description(backend.handle)) }

  /// That and the level of our own kernels, for checkpoints and JSON.
  public var backendDescription: String { library + ", kernels " + String(cString: mmoe_kernel_level()) }

  /// Scratch buffers of at least `count` floats, one a worker, kept between operations. Taken before a region
  /// starts, for every worker: which one meets the largest tile is a matter of timing, new storage must not be.
  ///
  /// - Parameter slot: 0...3; buffers of different slots do not overlap.
  func scratch(slot: Int, count: Int) -> [UnsafeMutablePointer<Float>] {
    if scratch[slot].first.map({ $0.count < count }) ?? true {
      scratch[slot] = (0..<pool.threads).map { _ in Storage(count: count) }
    }
    return scratch[slot].map(\.pointer)
  }

  /// Row-major `C[m,n] = alpha · op(A) · op(B) + beta · C` on the calling thread.
  @inline(__always)
  func product(
    _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1,
    _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int,
    beta: Float = 0, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    mmoe_sgemm(
      backend.handle, transposeA, transposeB, Int32(m), Int32(n), Int32(k), alpha, a, Int32(lda),
      b, Int32(ldb), beta, c, Int32(ldc))
  }

  /// To be called within long tiles: lets the main thread, and only it, advance what is in flight.
  @inline(__always)
  func progressWithinTile(_ worker: Int) {
    if worker == 0 { pool.progress?() }
  }

  /// Runs `body` over row tiles of about `target` rows. Tile borders depend on `rows` alone.
  public func forRowTiles(
    _ rows: Int, target: Int = 192,
    _ body: (_ rows: Range<Int>, _ tile: Int, _ worker: Int) -> Void
  ) {
    let tiling = Tiling(rows, target: target)
    pool.run(tiling.count) { tile, worker in body(tiling[tile], tile, worker) }
  }
}

/// Cuts a range into nearly equal tiles, a multiple of four of them where there are several, so that two or
/// four threads end together. Depends on the size alone, never on the number of threads.
struct Tiling {
  let length: Int
  let count: Int
  private let step: Int
  /// No tile is longer.
  var longest: Int { step }

  init(_ length: Int, target: Int, multiple: Int = 16) {
    self.length = length
    var tiles = max(1, (length + target - 1) / target)
    if tiles > 2 { tiles = (tiles + 3) / 4 * 4 }
    step = max(multiple, (length + tiles - 1) / tiles + multiple - 1) / multiple * multiple
    count = max(1, (length + step - 1) / step)
  }

  subscript(tile: Int) -> Range<Int> {
    let start = min(tile * step, length)
    return start..<min(start + step, length)
  }
}

/// Seconds on the monotonic clock.
public func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

extension Engine {
  /// `C[m, n] = op(A) · op(B)` over all threads in row tiles; what the benchmarks time.
  package func tiledProduct(
    _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ a: Operand,
    _ b: Operand, _ c: Tensor
  ) {
    let (pa, pb, pc) = (a.pointer, b.pointer, c.pointer)
    forRowTiles(m, target: 256) { r, _, _ in
      product(
        transposeA, transposeB, r.count, n, k, pa + r.lowerBound * (transposeA ? 1 : k),
        transposeA ? m : k, pb, transposeB ? k : n, pc + r.lowerBound * n, n)
    }
  }
}
