import CKernels

/// Where the gradient of a tensor arrives during the backward pass.
public final class GradientSlot {
  let shape: [Int]
  var gradient: Tensor?
  /// Whether a backward pass needs to reach the tensor.
  var isNeeded = false

  init(_ shape: [Int]) { self.shape = shape }
}

/// A row-major float32 array and, while a tape records, the gradient that flows back into it.
///
/// Letters in the shapes of all comments: `B` sequences or images of a batch, `T` tokens (behind `B` those of a sequence, else all
/// rows of a pass), `I` images, `N` patches of an image, `S` an image's side in pixels, `d` the width of the residual stream, `h`
/// the hidden width of an MLP, `w` the width of a head, `V` the vocabulary, `E` the experts of a bank and `e` those that live in
/// this process, `k` the choices of a token, `M` modalities.
///
/// Tensors are touched once per operation, never per element: loops live in C kernels.
/// Not `Sendable` by nature; a tensor that crosses threads (a prefetched batch) is handed over, never shared.
public final class Tensor: @unchecked Sendable {
  public let shape: [Int]
  package let storage: Storage
  /// First element within the storage; not 0 for row slices.
  package let offset: Int
  /// The number of elements.
  public let count: Int
  /// Where its gradient arrives. Adjoints that need no values hold on to this alone, so that the values can go.
  public let slot: GradientSlot
  /// dLoss/dSelf, set during the backward pass.
  public internal(set) var gradient: Tensor? {
    get { slot.gradient }
    set { slot.gradient = newValue }
  }
  /// Computes the same values again, bit for bit: for adjoints that read them, where that takes less than keeping them.
  var rebuild: (() -> Tensor)?
  /// Whether a backward pass needs to reach this tensor.
  public internal(set) var needsGradient: Bool {
    get { slot.isNeeded }
    set { slot.isNeeded = newValue }
  }

  /// An uninitialized tensor.
  package init(uninitialized shape: [Int]) {
    self.shape = shape
    count = shape.reduce(1, *)
    storage = Storage(count: count)
    offset = 0
    slot = GradientSlot(shape)
  }

  /// A view of a part of a storage.
  package init(shape: [Int], storage: Storage, offset: Int) {
    self.shape = shape
    count = shape.reduce(1, *)
    self.storage = storage
    self.offset = offset
    slot = GradientSlot(shape)
    precondition(offset + count <= storage.count, "tensor view outside its storage")
  }

  /// A shape alone: there is no memory for its numbers, which nothing may read or write.
  package init(describing shape: [Int]) {
    self.shape = shape
    count = shape.reduce(1, *)
    storage = Tensor.nothing
    offset = 0
    slot = GradientSlot(shape)
  }
  private static let nothing = Storage(count: 1)

  /// A tensor filled with one value.
  package convenience init(repeating value: Float, shape: [Int]) {
    self.init(uninitialized: shape)
    pointer.update(repeating: value, count: count)
  }

  /// A tensor of zeros.
  package static func zeros(_ shape: [Int]) -> Tensor { Tensor(repeating: 0, shape: shape) }

  /// A tensor with the given elements, row-major; there must be as many as the shape says.
  package convenience init(_ values: [Float], shape: [Int]) {
    self.init(uninitialized: shape)
    precondition(values.count == count, "\(values.count) values for shape \(shape)")
    values.withUnsafeBufferPointer { pointer.update(from: $0.baseAddress!, count: count) }
  }

  /// A tensor of a shape with the given elements, row-major.
  ///
  /// - Throws: `EngineError` unless the shape's axes are at least 1 and there are as many elements as it says.
  public convenience init(shape: [Int], values: [Float]) throws(EngineError) {
    var count = 1
    for axis in shape {
      let (product, isTooLarge) = count.multipliedReportingOverflow(by: max(axis, 0))
      count = isTooLarge ? 0 : product
    }
    guard count >= 1 else {
      throw EngineError(field: "a tensor's shape", found: "\(shape)", expected: "axes of at least 1")
    }
    guard values.count == count else {
      throw EngineError(
        field: "a tensor of shape \(shape)", found: "made of \(values.count) numbers", expected: "\(count) of them")
    }
    self.init(values, shape: shape)
  }

  /// A tensor of the shape of another one, whose elements `fill` writes, all of them.
  public convenience init(like other: Tensor, _ fill: (UnsafeMutableBufferPointer<Float>) -> Void) {
    self.init(uninitialized: other.shape)
    fill(UnsafeMutableBufferPointer(start: pointer, count: count))
  }

  /// Changes the elements where they are, row-major; not of a tensor that a recorded operation has read.
  public func withMutableValues<Result>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    try body(UnsafeMutableBufferPointer(start: pointer, count: count))
  }

  /// The first element; for kernels.
  package var pointer: UnsafeMutablePointer<Float> { storage.pointer + offset }

  /// The elements as an array (a copy).
  public var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

  /// The only element of a scalar tensor.
  package var item: Float {
    precondition(count == 1, "item of a tensor with shape \(shape)")
    return pointer[0]
  }

  /// The product of all axes but the last.
  public var rows: Int { shape.isEmpty ? 1 : count / max(shape[shape.count - 1], 1) }
  /// The last axis.
  public var columns: Int { shape.last ?? 1 }

  /// Returns the gradient of a watched leaf and forgets it.
  @discardableResult
  public func takeGradient() -> Tensor? {
    defer {
      gradient = nil
      needsGradient = false
    }
    return gradient
  }

  /// A copy with storage of its own.
  public func copy() -> Tensor {
    let result = Tensor(uninitialized: shape)
    result.pointer.update(from: pointer, count: count)
    return result
  }

  /// Index of the first element that is NaN or infinite, among the first `count` (nil: all); nil when there is none.
  public func firstNotFinite(count limit: Int? = nil) -> Int? {
    let index = mmoe_first_not_finite(pointer, limit ?? count)
    return index < 0 ? nil : index
  }
}
