extension EventSummary {
  /// A step's metrics. Values that are not finite are left out: TensorBoard draws none.
  ///
  /// - Parameter histograms: whether vectors, such as the load of experts, are histograms of this step.
  init(_ line: MetricsLine, histograms: Bool) {
    self.init()
    for (key, value) in line.values {
      switch value {
      case .scalar(let value) where value.isFinite: add(Self.tag(key), scalar: value)
      case .vector(let values) where histograms && values.allSatisfy(\.isFinite): add(key, bars: values)
      default: break
      }
    }
  }

  /// TensorBoard groups curves by what stands before the first slash.
  static func tag(_ key: String) -> String {
    if key.contains("/") { return key }
    for (prefix, group) in [("train_", "train"), ("val_", "validation")] where key.hasPrefix(prefix) {
      return "\(group)/\(key.dropFirst(prefix.count))"
    }
    return "step/\(key)"
  }
}
