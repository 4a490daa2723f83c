import Foundation
import MMoEFiles
import MMoEHDF5
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// O_DIRECT, which the C library guards by a feature macro and whose value is the architecture's.
#if arch(arm64)
  private let pastThePageCache: Int32 = 0o200000
#else
  private let pastThePageCache: Int32 = 0o40000
#endif

/// Where one expert's weights stand in a checkpoint, and where they belong in memory.
struct ExpertPlace {
  /// One array: contiguous in the file, contiguous in the stacked parameter.
  struct Slice {
    let target: UnsafeMutableRawPointer
    let bytes: Int
    let offset: Int
  }

  var slices: [Slice] = []
  var bytes: Int { slices.reduce(0) { $0 + $1.bytes } }
}

/// Reads experts past the page cache, so that loading costs what it costs on a machine whose memory is full.
final class ExpertFile: @unchecked Sendable {
  /// What a direct read wants its place, its length and its target to be a multiple of.
  private static let block = 4096

  let path: String
  private let descriptor: Int32
  /// Whether the file system reads past its cache; otherwise pages are dropped after they were read.
  let isDirect: Bool
  private let length: Int
  /// For slices that are not whole blocks; used by one thread at a time.
  private var bounce: UnsafeMutableRawBufferPointer?

  /// - Throws: `WeightsError` when the file cannot be opened.
  init(_ path: String) throws {
    self.path = path
    let direct = open(path, O_RDONLY | O_CLOEXEC | pastThePageCache)
    isDirect = direct >= 0
    descriptor = isDirect ? direct : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw WeightsError(path, found: "cannot be opened: \(systemReason(errno))", remedy: "check the path")
    }
    var status = stat()
    fstat(descriptor, &status)
    length = Int(status.st_size)
  }

  deinit {
    close(descriptor)
    bounce?.deallocate()
  }

  /// - Returns: whether the whole expert was read.
  func read(_ place: ExpertPlace) -> Bool { place.slices.allSatisfy(read) }

  private func read(_ slice: ExpertPlace.Slice) -> Bool {
    let block = ExpertFile.block
    let isAligned =
      slice.bytes % block == 0 && slice.offset % block == 0 && Int(bitPattern: slice.target) % block == 0
    if isAligned || !isDirect {
      guard read(into: slice.target, slice.bytes, at: slice.offset) >= slice.bytes else { return false }
      if !isDirect { posix_fadvise(descriptor, off_t(slice.offset), off_t(slice.bytes), POSIX_FADV_DONTNEED) }
      return true
    }
    let start = slice.offset / block * block
    let count = (slice.offset + slice.bytes - start + block - 1) / block * block
    if (bounce?.count ?? 0) < count {
      bounce?.deallocate()
      bounce = .allocate(byteCount: count, alignment: block)
    }
    guard let address = bounce?.baseAddress,
      read(into: address, count, at: start) >= slice.offset + slice.bytes - start
    else { return false }
    slice.target.copyMemory(from: address + (slice.offset - start), byteCount: slice.bytes)
    return true
  }

  /// Reads until `count` bytes or the file's end.
  private func read(into target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) -> Int {
    var done = 0
    while done < count, offset + done < length {
      let found = pread(descriptor, target + done, count - done, off_t(offset + done))
      if found < 0 && errno == EINTR { continue }
      guard found > 0 else { break }
      done += found
    }
    return done
  }

  /// The experts of every bank in a checkpoint whose weights are to stay there, by the bank's path.
  ///
  /// - Throws: `HDF5Error` for a dataset that is missing; `TrainError` for one that is not stored in one piece.
  static func places(
    of parameters: [Parameter], in checkpoint: LoadedCheckpoint
  ) throws -> [String: [ExpertPlace]] {
    var banks: [String: [ExpertPlace]] = [:]
    for parameter in parameters where parameter.isOffloadable {
      guard let marker = parameter.path.range(of: ".experts.") else { continue }
      let bank = parameter.path[..<marker.lowerBound] + ".experts"
      let pieces = CheckpointLayout.pieces(of: parameter)
      let count = parameter.experts?.total ?? pieces.count
      var places = banks[String(bank)] ?? Array(repeating: ExpertPlace(), count: count)
      for piece in pieces {
        guard let expert = piece.expert else { continue }
        let offset = try checkpoint.fileOffset(of: piece)
        places[expert].slices.append(
          .init(
            target: UnsafeMutableRawPointer(parameter.value.pointer + piece.offset), bytes: piece.count * 4,
            offset: offset))
      }
      banks[String(bank)] = places
    }
    return banks
  }
}

extension Parameter {
  /// An expert's matrices, which are nearly all of it; its biases stay in memory.
  var isOffloadable: Bool { experts != nil && path.hasSuffix(".weight") }
}
