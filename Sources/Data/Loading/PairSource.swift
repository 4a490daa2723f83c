import Foundation
import MMoEFiles
import MMoETensor
import Synchronization

/// The decoded files of a set of pairs: from memory where they were decoded before, else from their files.
///
/// Decoded files are kept until a budget of bytes is used up, first come, first kept; the rest is decoded again in every pass.
/// A source is shared by the loaders over one set and may be used from any thread.
public final class PairSource: Sendable {
  public let set: PairSet
  /// What is read: by field the shape of a sample, `[channels, height, width]`. Other fields of the pairs are passed over.
  package let shapes: [String: [Int]]
  public let policy: BadImagePolicy
  /// The formats of the fields that are read, in the order of their registration.
  let formats: [SampleFormat]
  private let budget: Int
  /// By field, where the files of every item begin in `State.samples`.
  private let firstFile: [String: [Int]]

  private struct State: Sendable {
    var samples: [(any DecodedSample)?]
    var cachedBytes = 0
    /// By place, as samples are: other files of the same item may be good.
    var bad: [Int: String] = [:]
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - shapes: by field, of the fields that are read.
  ///   - cacheBytes: how many decoded bytes may stay in memory.
  ///   - policy: what happens at a file that cannot be decoded.
  /// - Throws: `DataError` for a field that no format reads, for a shape that is none, and naming the first item without a file
  ///   of any field.
  public init(
    _ set: PairSet, shapes: [String: [Int]], cacheBytes: Int = 2 << 30, policy: BadImagePolicy = .error
  ) throws {
    let registered = SampleFormat.registry
    if let strange = shapes.keys.sorted().first(where: { registered[$0] == nil }) {
      throw DataError(field: "the field of a pair", found: strange, expected: registered.listing)
    }
    for (field, shape) in shapes.sorted(by: { $0.key < $1.key }) { try SampleFormat.require(shape, of: field) }
    formats = registered.values.filter { shapes[$0.field] != nil }
    let fields = formats.map(\.field)
    if let bare = set.items.first(where: { item in fields.allSatisfy { item.files[$0] == nil } }) {
      throw DataError(
        bare.place, found: "no field \(fields.joined(separator: " or "))", expected: "a file that the model reads",
        remedy: "add it or remove the line")
    }
    (self.set, self.shapes, self.policy, budget) = (set, shapes, policy, cacheBytes)
    var count = 0
    var firstFile: [String: [Int]] = [:]
    for field in fields {
      firstFile[field] = set.items.map { item in
        defer { count += item[field].count }
        return count
      }
    }
    self.firstFile = firstFile
    state = Mutex(State(samples: Array(repeating: nil, count: count)))
  }

  /// The items with a file that could not be decoded, by their place in the set: the message of the first such file.
  package var bad: [Int: String] {
    let messages = state.withLock { $0.bad }
    guard !messages.isEmpty else { return [:] }
    var bad: [Int: String] = [:]
    for format in formats {
      for (item, first) in firstFile[format.field]!.enumerated() where bad[item] == nil {
        let places = first..<first + set.items[item][format.field].count
        if let message = places.lazy.compactMap({ messages[$0] }).first { bad[item] = message }
      }
    }
    return bad
  }

  /// A decoded file of an item, or nil for a bad one under the policy `skip`: which it is follows from that file alone.
  ///
  /// - Parameter file: number among the item's files of the field.
  /// - Throws: `DataError` naming the file under the policy `error`.
  package func sample(_ field: String, of item: Int, file: Int = 0) throws -> (any DecodedSample)? {
    guard let format = formats.first(where: { $0.field == field }), let shape = shapes[field] else {
      preconditionFailure("the field \(field) is not read")
    }
    let place = firstFile[field]![item] + file
    let (kept, isBad) = state.withLock { ($0.samples[place], $0.bad[place] != nil) }
    if let kept { return kept }
    if isBad && policy == .skip { return nil }
    do {
      let sample = try format.decode(set.items[item][field][file], shape)
      keep(sample, at: place)
      return sample
    } catch let error as DataError {
      state.withLock { $0.bad[place] = error.description }
      guard policy == .skip else {
        throw DataError(error.description + "; replace the file, or pass over such files with --on-bad-image skip")
      }
      return nil
    }
  }

  private func keep(_ sample: any DecodedSample, at place: Int) {
    let bytes = sample.byteCount
    state.withLock {
      // Another thread may have decoded the same file at the same time.
      guard $0.samples[place] == nil, $0.cachedBytes + bytes <= budget else { return }
      $0.samples[place] = sample
      $0.cachedBytes += bytes
    }
  }

  /// Samples of one field, as in evaluation: nothing is drawn.
  ///
  /// - Parameters:
  ///   - files: items of the set, and which of their files.
  ///   - normalization: of pictures.
  /// - Returns: `[n, channels, height, width]`, and which of `files` they are: bad ones are left out under the policy `skip`.
  /// - Throws: `DataError` naming a file that cannot be decoded.
  package func samples(
    _ field: String, _ files: [(item: Int, file: Int)], normalization: PixelNormalization = .unit
  ) throws -> (values: Tensor, places: [Int]) {
    guard let format = formats.first(where: { $0.field == field }), let shape = shapes[field] else {
      preconditionFailure("the field \(field) is not read")
    }
    let decoded = try files.mapInParallel(grain: 4) { try self.sample(field, of: $0.item, file: $0.file) }
    let places = decoded.indices.filter { decoded[$0] != nil }
    let values = format.write(places.map { decoded[$0]! }, shape: shape, normalization: normalization)
    return (values, places)
  }
}
