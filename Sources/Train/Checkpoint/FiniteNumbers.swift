import MMoEFiles
import MMoEHDF5
import MMoEReport
import MMoETensor

/// Weights that are not numbers are refused where they are read: what is computed from them may look like a result.
extension HDF5Reader {
  /// - Parameters:
  ///   - values: what was read.
  ///   - path: of the dataset, for the message.
  /// - Throws: `TrainError` naming the first number that is NaN or infinite.
  package func requireFinite(_ values: UnsafeBufferPointer<Float>, of path: String) throws {
    guard let index = firstNotFinite(values) else { return }
    throw TrainError(
      file, found: "dataset '\(path)': element \(index) is \(HumanFormat.exact(values[index]))",
      expected: "finite numbers", remedy: "its training had diverged, use an earlier checkpoint")
  }

  /// Reads all floating-point datasets, the optimizer's too.
  ///
  /// - Throws: `TrainError` naming the first number that is NaN or infinite; `HDF5Error` for what cannot be read.
  package func requireFiniteNumbers() throws {
    for dataset in datasets where dataset.type.isFloat {
      try readFloats(dataset.path).withUnsafeBufferPointer { try requireFinite($0, of: dataset.path) }
    }
  }
}
