import CBLAS
import CKernels

/// What matrix products read and activations are kept in; sums, and everything that is no product, are float32.
public enum DType: String, CaseIterable, Sendable, Codable {
  case float32
  /// Operands rounded to bfloat16 (8 bits of precision, float32's range), summed up in float32.
  case bf16
}

/// A row-major array as products read it: float32 elements themselves, or a bfloat16 copy.
package final class Operand {
  private let storage: Storage
  /// The first element.
  package let pointer: Elements

  /// Where elements stand, of either type.
  package enum Elements {
    case float32(UnsafeMutablePointer<Float>)
    case bf16(UnsafeMutablePointer<UInt16>)

    /// The address of bfloat16 elements.
    var bf16: UnsafeMutablePointer<UInt16>? {
      if case .bf16(let p) = self { p } else { nil }
    }

    static func + (elements: Elements, offset: Int) -> Elements {
      switch elements {
      case .float32(let p): .float32(p + offset)
      case .bf16(let p): .bf16(p + offset)
      }
    }
  }

  /// The elements of a tensor, shared with it.
  init(_ tensor: Tensor) {
    storage = tensor.storage
    pointer = .float32(tensor.pointer)
  }

  /// An uninitialized array.
  init(uninitialized count: Int, _ dtype: DType) {
    switch dtype {
    case .float32:
      storage = Storage(count: count)
      pointer = .float32(storage.pointer)
    case .bf16:
      storage = Storage(count: (count + 1) / 2)
      pointer = .scratch(storage.pointer, .bf16)
    }
  }
}

extension Operand.Elements {
  /// Elements in a scratch buffer of floats, which has room for as many of either type.
  static func scratch(_ buffer: UnsafeMutablePointer<Float>, _ dtype: DType) -> Self {
    switch dtype {
    case .float32: .float32(buffer)
    case .bf16: .bf16(UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: UInt16.self))
    }
  }
}

extension Engine {
  /// A tensor as an operand: itself in float32, a copy in bfloat16.
  ///
  /// - Parameter dtype: of this operand; the engine's when nil.
  package func operand(_ tensor: Tensor, _ dtype: DType? = nil) -> Operand {
    guard (dtype ?? self.dtype) == .bf16 else { return Operand(tensor) }
    let copy = Operand(uninitialized: tensor.count, .bf16)
    let (source, target) = (tensor.pointer, copy.pointer.bf16!)
    forChunks(tensor.count) { r in
      mmoe_encode_bf16(target + r.lowerBound, source + r.lowerBound, r.count)
    }
    return copy
  }

  /// Rounds floats to bfloat16 on the calling thread.
  @inline(__always)
  func round(_ values: UnsafePointer<Float>, to target: UnsafeMutablePointer<UInt16>, count: Int) {
    mmoe_encode_bf16(target, values, count)
  }

  /// An operand as an adjoint gets it back: kept, or converted anew from a tensor that is rebuilt.
  func recalled(_ operand: Operand, of tensor: Tensor, _ dtype: DType? = nil) -> () -> Operand {
    guard let rebuild = tensor.rebuild else { return { operand } }
    return { [self] in self.operand(rebuild(), dtype) }
  }

  /// `count` floats of a tile as elements of an operand: themselves, or rounded into scratch on the calling thread.
  @inline(__always)
  func operand(
    _ values: UnsafeMutablePointer<Float>, _ count: Int, scratch: UnsafeMutablePointer<Float>
  ) -> Operand.Elements {
    guard dtype == .bf16 else { return .float32(values) }
    let elements = Operand.Elements.scratch(scratch, .bf16)
    mmoe_encode_bf16(elements.bf16!, values, count)
    return elements
  }

  /// Row-major `C[m, n] = alpha · op(A) · op(B) + beta · C` on the calling thread; beta is 0 or 1, A and B are of one
  /// type.
  @inline(__always)
  func product(
    _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1,
    _ a: Operand.Elements, _ lda: Int, _ b: Operand.Elements, _ ldb: Int, beta: Float = 0,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    switch (a, b) {
    case (.float32(let a), .float32(let b)):
      product(transposeA, transposeB, m, n, k, alpha: alpha, a, lda, b, ldb, beta: beta, c, ldc)
    case (.bf16(let a), .bf16(let b)):
      mmoe_bgemm(
        transposeA, transposeB, Int32(m), Int32(n), Int32(k), alpha, a, Int32(lda), b, Int32(ldb), beta != 0, c,
        Int32(ldc))
    default:
      preconditionFailure("a product of float32 and bfloat16")
    }
  }
}
