import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport
import MMoETensor
import MMoETrain

/// Disks: room, and how fast a checkpoint is on them for good.
enum StorageCheck {
  struct Place: Sendable {
    let path: String
    /// What is kept there.
    let use: String
    let system: FileSystem?
    let isWritable: Bool
    /// Bytes a second of a file that is on the disk when the time ends; nil where it was not measured.
    var durableRate: Double?
  }

  static func run() -> Finding {
    let runs = FilePath.absolute(RunFolder.home)
    var places = [
      place(runs, "runs of this folder"), place(FileManager.default.temporaryDirectory.path, "temporary files"),
      place(ProjectHome.cache, "caches"),
    ]
    places[0].durableRate = durableRate(of: places[0])
    return finding(places)
  }

  private static func place(_ path: String, _ use: String) -> Place {
    let folder = FileSystem.existing(path)
    return Place(
      path: FilePath.withoutTrailingSlashes(path), use: use, system: FileSystem(of: folder),
      isWritable: access(folder, W_OK) == 0)
  }

  /// The rate of 64 MB in one file, with its name; three files, the best of which counts. What an interrupted one leaves goes
  /// with the next one.
  private static func durableRate(of place: Place) -> Double? {
    guard place.isWritable, let system = place.system, system.free > 1 << 30 else { return nil }
    let bytes = [UInt8](repeating: 0x5A, count: 64 << 20)
    let file = FilePath.join(FileSystem.existing(place.path), ".mmoe-doctor")
    defer { unlink(file) }
    var best = Double.infinity
    let start = monotonicSeconds()
    for round in 0..<3 where round == 0 || monotonicSeconds() - start < 1.5 {
      let began = monotonicSeconds()
      guard (try? DurableFile.write(bytes, to: file)) != nil else { return nil }
      best = min(best, monotonicSeconds() - began)
    }
    return Double(bytes.count) / best
  }

  static func finding(_ places: [Place]) -> Finding {
    var finding = Finding("disk")
    for place in places {
      guard let system = place.system else {
        finding.lines.append("\(place.path) (\(place.use)): not there")
        continue
      }
      var words = ["\(HumanFormat.bytes(system.free)) free of \(HumanFormat.bytes(system.size)), \(system.kind)"]
      if !place.isWritable { words.append("cannot be written") }
      if let rate = place.durableRate { words.append("durable writes at \(HumanFormat.bytes(Int(rate)))/s") }
      finding.lines.append("\(place.path) (\(place.use)): \(words.joined(separator: ", "))")
      finding.values[place.use.replacingOccurrences(of: " ", with: "_")] = .object([
        "path": .string(place.path), "free": .int(system.free), "kind": .string(system.kind),
        "writable": .bool(place.isWritable),
        "durable_bytes_per_s": place.durableRate.map { .double($0) } ?? .null,
      ])
      if !place.isWritable {
        finding.notes.append(
          "\(place.path) cannot be written: runs need another folder (--out DIR), temporary files another TMPDIR, caches another MMOE_CACHE"
        )
      } else if system.free < 100_000_000 {
        finding.problems.append(
          "\(place.path) has \(HumanFormat.bytes(system.free)) left, which the first checkpoint may fill; free space, or choose another folder"
        )
      } else if system.free < 2_000_000_000 {
        finding.notes.append(
          "\(place.path) has \(HumanFormat.bytes(system.free)) left\(system.isMemory ? ", which is memory" : ""); a checkpoint of gpt-small takes 660 MB, and the last two and the best are kept"
        )
      } else if system.isMemory, place.use != "temporary files" {
        finding.notes.append("\(place.path) is in memory: runs are lost when the machine stops; start mmoe on a disk")
      }
      if let rate = place.durableRate, rate < 50e6 {
        finding.notes.append(
          "\(place.path) takes \(HumanFormat.bytes(Int(rate)))/s for good: checkpoints stop the training; give --set checkpoint.background=true, or another folder"
        )
      }
    }
    return finding
  }
}
