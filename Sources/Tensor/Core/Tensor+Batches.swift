extension Tensor {
  /// Tensors `[1, …]` as one batch.
  package static func stacked(_ parts: [Tensor]) -> Tensor {
    let result = Tensor(uninitialized: [parts.reduce(0) { $0 + $1.shape[0] }] + parts[0].shape.dropFirst())
    var at = result.pointer
    for part in parts {
      at.update(from: part.pointer, count: part.count)
      at += part.count
    }
    return result
  }
}

extension Tensor {
  /// One sample of a batch `[B, …]` as a batch of its own, in the same storage.
  package func sample(_ index: Int) -> Tensor {
    let rest = Array(shape.dropFirst())
    let size = rest.reduce(1, *)
    return Tensor(shape: [1] + rest, storage: storage, offset: offset + index * size)
  }
}
