import Foundation
import MMoEFiles
import Synchronization

/// What to do about an image that cannot be decoded.
public enum BadImagePolicy: String, Sendable, Codable, CaseIterable {
  /// Stop with an error naming the file.
  case error
  /// Count the file and go on without it.
  case skip
}

/// The decoded images of a set: from memory where they were decoded before, else from their files.
///
/// Decoded images are kept until a budget of bytes is used up, first come, first kept; the rest is decoded
/// again in every epoch. A source is shared by the loaders over one set and may be used from any thread.
public final class ImageSource: Sendable {
  public let set: ImageSet
  public let policy: BadImagePolicy
  private let limits: ImageLimits
  private let atLeast: Int
  private let budget: Int

  /// What a source has done so far.
  package struct Statistics: Sendable, Equatable {
    /// Files decoded, repeated ones counted again.
    package var decoded = 0
    /// Bytes of the images kept in memory.
    package var cachedBytes = 0
    /// The message of every file that could not be decoded, by the file's index in the set.
    package var bad: [Int: String] = [:]
  }

  private struct State: Sendable {
    var images: [RGBImage?]
    var statistics = Statistics()
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - set: the files.
  ///   - cacheBytes: how many decoded bytes may stay in memory.
  ///   - policy: what happens at a file that cannot be decoded.
  ///   - limits: what the decoder refuses.
  ///   - atLeast: pixels that both sides keep where a format is decoded faster at a fraction of its size; 0 = whole images.
  public init(
    _ set: ImageSet, cacheBytes: Int = 2 << 30, policy: BadImagePolicy = .error,
    limits: ImageLimits = .standard, atLeast: Int = 0
  ) {
    self.set = set
    self.policy = policy
    self.limits = limits
    self.atLeast = atLeast
    budget = cacheBytes
    state = Mutex(State(images: Array(repeating: nil, count: set.count)))
  }

  package var statistics: Statistics { state.withLock { $0.statistics } }

  /// The decoded image at `index`, or nil for a bad file under the policy `skip`.
  ///
  /// - Throws: `DataError` naming the file under the policy `error`.
  package func image(at index: Int) throws -> RGBImage? {
    let (kept, isBad) = state.withLock { ($0.images[index], $0.statistics.bad[index] != nil) }
    if let kept { return kept }
    if isBad && policy == .skip { return nil }
    do {
      let image = try RGBImage(contentsOf: set.images[index].path, limits: limits, atLeast: atLeast)
      keep(image, at: index)
      return image
    } catch let error as DataError {
      state.withLock { $0.statistics.bad[index] = error.description }
      guard policy == .skip else {
        throw DataError(
          error.description + "; replace the file, or pass over such files with --on-bad-image skip"
        )
      }
      return nil
    }
  }

  private func keep(_ image: RGBImage, at index: Int) {
    state.withLock {
      $0.statistics.decoded += 1
      // Another thread may have decoded the same file at the same time.
      guard $0.images[index] == nil, $0.statistics.cachedBytes + image.pixels.count <= budget
      else { return }
      $0.images[index] = image
      $0.statistics.cachedBytes += image.pixels.count
    }
  }
}
