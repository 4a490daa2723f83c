import CKernels

/// Index of the first element that is NaN or infinite; nil when there is none.
public func firstNotFinite(_ values: UnsafeBufferPointer<Float>) -> Int? {
  guard let start = values.baseAddress else { return nil }
  let index = mmoe_first_not_finite(start, values.count)
  return index < 0 ? nil : index
}

extension Collection where Element: BinaryFloatingPoint {
  /// The index of the largest element, the first among equals; nil where there is none, or where a NaN leaves no order.
  ///
  /// Every argmax goes through here: `max` compares, and whatever it compares with NaN comes out as smaller, so that a NaN
  /// in the first place would win.
  @inlinable public func indexOfLargest() -> Index? {
    var best: Index?
    for index in indices {
      if self[index].isNaN { return nil }
      if best.map({ self[index] > self[$0] }) ?? true { best = index }
    }
    return best
  }
}
