import Foundation
import MMoEConfig
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// How fast a checkpoint is written and read, beside `dd` with the same bytes on the same disk: zeros would not do, which
/// some disks do not write.
package enum CheckpointBenchmark {
  /// Seconds of one round; `dd` in blocks of 4 MiB.
  ///
  /// In rounds 0, 2, … `dd` reads the file before it is loaded, in the others after: below the system's own cache, which
  /// is emptied, a disk's host may have another that the first reader fills.
  package struct Round: Codable, Sendable {
    /// A checkpoint with optimizer state, until it is on the disk.
    package var save = 0.0
    package var ddWrite = 0.0
    /// Into a model and an optimizer, from the disk: nothing of the file is in memory.
    package var load = 0.0
    package var ddRead = 0.0
    /// The same from the page cache.
    package var loadCached = 0.0

    enum CodingKeys: String, CodingKey {
      case save, load
      case ddWrite = "dd_write"
      case ddRead = "dd_read"
      case loadCached = "load_cached"
    }
  }

  /// What was measured.
  package struct Result: Codable, Sendable {
    /// Of the checkpoint.
    package let bytes: Int
    package let rounds: [Round]

    /// Medians over the rounds, as shares of what `dd` reaches in the same place of a round.
    package var text: String {
      let (ddFirst, loadFirst) = (
        rounds.enumerated().filter { $0.offset % 2 == 0 }.map(\.element),
        rounds.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
      )
      func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
      func line(_ name: String, _ seconds: [Double], _ dd: [Double]?) -> String {
        let own = median(seconds)
        return "\(name.padding(toLength: 15, withPad: " ", startingAt: 0))\(HumanFormat.fixed(own, 2)) s, "
          + "\(HumanFormat.fixed(Double(bytes) / own / 1e6, 0)) MB/s"
          + (dd.map {
            ", \(HumanFormat.percent(median($0) / own)) of dd (\(HumanFormat.fixed(Double(bytes) / median($0) / 1e6, 0)) MB/s)"
          } ?? "") + "\n"
      }
      return "\(HumanFormat.bytes(bytes)), medians of \(rounds.count)\n"
        + line("saving", rounds.map(\.save), rounds.map(\.ddWrite))
        + line("loading first", loadFirst.map(\.load), ddFirst.map(\.ddRead))
        + line("loading second", ddFirst.map(\.load), loadFirst.map(\.ddRead))
        + line("from memory", rounds.map(\.loadCached), nil)
    }
  }

  /// Saves and loads the whole state of a preset's model with random weights, in turn with `dd`.
  ///
  /// - Parameters:
  ///   - folder: on the disk in question; the files are removed at the end.
  ///   - rounds: how often each is done, at least twice.
  /// - Throws: `BenchError` when `dd` fails, and what saving and loading throw.
  package static func run(
    _ config: RunConfig, preset: String, folder: String, rounds: Int, engine: Engine
  ) throws -> Result {
    let (file, plain) = (folder + "/bench-\(getpid()).h5", folder + "/bench-\(getpid()).dd")
    defer { for path in [file, plain] { unlink(path) } }
    let model = try config.model.makeModel(seed: 0, engine: engine)
    let optimizer = Updater(model.parameters, config: config.optimizer, engine: engine)
    let info = CheckpointInfo(
      task: "bench", preset: preset, config: config, step: 0, best: nil, vocabulary: [:],
      backend: engine.backendDescription)
    var found: [Round] = []
    var bytes = 0
    for number in 0..<rounds {
      var round = Round()
      round.save = try seconds { try TrainingCheckpoint.save(info, TrainingState(model, optimizer), to: file) }
      bytes = (try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0
      // It was written past the page cache; now it is there for the first `dd`.
      try dd(["if=\(file)", "of=/dev/null", "bs=4M"])
      round.ddWrite = try seconds { try dd(["if=\(file)", "of=\(plain)", "bs=4M", "conv=fsync"]) }
      func load() throws {
        let loaded = try LoadedCheckpoint(file)
        try loaded.restore(model)
        try loaded.restore(optimizer, of: model)
      }
      func readPlainly() throws {
        try forget(file)
        round.ddRead = try seconds { try dd(["if=\(file)", "of=/dev/null", "bs=4M"]) }
      }
      // In turn the first one: disks have caches too.
      if number % 2 == 0 { try readPlainly() }
      try forget(file)
      round.load = try seconds(load)
      round.loadCached = try seconds(load)
      if number % 2 == 1 { try readPlainly() }
      found.append(round)
    }
    return Result(bytes: bytes, rounds: found)
  }

  private static func seconds(_ body: () throws -> Void) rethrows -> Double {
    let began = monotonicSeconds()
    try body()
    return monotonicSeconds() - began
  }

  /// Takes a file's pages out of memory; those on the disk stay.
  private static func forget(_ path: String) throws {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw BenchError(path, found: "cannot be opened (\(systemReason(errno)))") }
    defer { close(descriptor) }
    fsync(descriptor)
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
  }

  private static func dd(_ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/dd")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw BenchError("dd \(arguments.joined(separator: " ")) failed; choose a --folder with room for the file")
    }
  }
}
