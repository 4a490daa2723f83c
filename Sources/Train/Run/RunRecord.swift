import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// What a run was made from and by: `run.json` in its folder.
///
/// It holds what a checkpoint must not, since that would give equal states different bytes: paths, commands, times.
package struct RunRecord: Codable, Equatable {
  package static let fileName = RunConfig.recorded
  /// Of the layout of this file.
  static let formatVersion = 1

  /// What `--data` named.
  package struct Source: Codable, Equatable {
    /// As it was given; nil for the data that comes with the project.
    package var path: String?
    /// The same from the root, without links, and from the run's folder.
    package var absolute: String
    var fromRun = ""
    /// By split: digests and counts, of all that is mixed in, too; nil for what is mixed in itself.
    package var parts: [String: DataPart]?

    package init(path: String?, absolute: String, fromRun: String = "", parts: [String: DataPart]?) {
      self.path = path
      self.absolute = absolute
      self.fromRun = fromRun
      self.parts = parts
    }

    enum CodingKeys: String, CodingKey {
      case path, absolute, parts
      case fromRun = "from_run"
    }
  }

  /// Weights that the run started from.
  package struct Weights: Codable, Equatable {
    /// As `--init-from` names them.
    package var path: String
    /// The file or folder.
    package var absolute: String
    package var digest: String

    package init(path: String, absolute: String, digest: String) {
      self.path = path
      self.absolute = absolute
      self.digest = digest
    }
  }

  /// The run and the step that a branch begins after.
  package struct Branch: Codable, Equatable {
    package var run: String
    package var step: Int

    package init(run: String, step: Int) {
      self.run = run
      self.step = step
    }
  }

  /// A command that trained it.
  package struct Command: Codable, Equatable {
    package var command: String
    /// In UTC.
    package var started: String
    package var program: String
    /// Steps that were taken before it.
    package var firstStep: Int
    package var ranks: Int
    /// Of the first rank: processor, cores, memory, host.
    package var machine: String?

    package init(
      command: String, started: String, program: String, firstStep: Int, ranks: Int, machine: String? = nil
    ) {
      self.command = command
      self.machine = machine
      self.started = started
      self.program = program
      self.firstStep = firstStep
      self.ranks = ranks
    }

    enum CodingKeys: String, CodingKey {
      case command, started, program, ranks, machine
      case firstStep = "first_step"
    }
  }

  var formatVersion = RunRecord.formatVersion
  package var task: String
  package var preset: String
  package var data: Source
  /// What is mixed in, by the key that names it.
  package var mixed: [String: Source]?
  package var initialWeights: [Weights]?
  package var branch: Branch?
  /// What a study knows the run by.
  package var configuration: String?
  package var commands: [Command] = []

  enum CodingKeys: String, CodingKey {
    case task, preset, data, mixed, branch, configuration, commands
    case formatVersion = "format_version"
    case initialWeights = "initial_weights"
  }

  package init(task: String, preset: String, data: Source) {
    (self.task, self.preset, self.data) = (task, preset, data)
  }

  /// The folder whose record is that of a checkpoint: its own, or that of the file that it is a link to.
  package static func folder(of checkpoint: String) -> String {
    let own = FilePath.folder(of: checkpoint)
    let hasRecord = FileManager.default.fileExists(atPath: FilePath.join(own, fileName))
    return hasRecord ? own : FilePath.folder(of: FilePath.resolved(checkpoint))
  }

  /// - Parameter run: the run's folder.
  /// - Returns: nil where there is none: of a checkpoint that lies alone, or of a run of an earlier version.
  /// - Throws: `TrainError` for one of a newer version, and for a file that is none.
  package static func read(_ run: String) throws -> RunRecord? {
    do {
      return try decoded(run)
    } catch let error as Damage {
      throw TrainError("\(error.description); put the file back, or name the data with --data")
    }
  }

  /// The same where the command names the data: a file that is none is put aside.
  ///
  /// - Returns: also the new name of what was put aside.
  package static func readOrPutAside(_ run: String) throws -> (record: RunRecord?, aside: String?) {
    do {
      return (try decoded(run), nil)
    } catch is Damage {
      let file = FilePath.join(run, fileName)
      return (nil, rename(file, file + ".damaged") == 0 ? file + ".damaged" : nil)
    }
  }

  /// What is wrong with a file that is no record.
  private struct Damage: Error {
    let description: String
  }

  private static func decoded(_ run: String) throws -> RunRecord? {
    let file = FilePath.join(run, fileName)
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    guard let bytes = FileManager.default.contents(atPath: file) else {
      throw Damage(description: "\(file): cannot be read")
    }
    guard let version = try? JSONDecoder().decode(Version.self, from: bytes).formatVersion, version > 0 else {
      throw Damage(description: "\(file): no run's record, expected JSON with format_version")
    }
    guard version <= formatVersion else {
      throw TrainError(
        file, field: "format_version", found: "\(version)", expected: "at most \(formatVersion)", remedy: "update mmoe")
    }
    do {
      return try JSONDecoder().decode(RunRecord.self, from: bytes)
    } catch {
      throw Damage(description: "\(file): no run's record (\(jsonReason(error)))")
    }
  }

  /// What every version of the file has.
  private struct Version: Decodable {
    let formatVersion: Int
    enum CodingKeys: String, CodingKey { case formatVersion = "format_version" }
  }

  /// - Throws: `FileFailure` when it cannot be written.
  package func write(to run: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    try DurableFile.write(encoder.encode(self) + [0x0A], to: FilePath.join(run, RunRecord.fileName))
  }

  private static func jsonReason(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    let (path, what): ([any CodingKey], String) =
      switch error {
      case .keyNotFound(let key, let context): (context.codingPath + [key], "is missing")
      case .typeMismatch(_, let context), .valueNotFound(_, let context): (context.codingPath, "has another type")
      case .dataCorrupted(let context): (context.codingPath, "is damaged")
      @unknown default: ([], "is damaged")
      }
    return path.map(\.stringValue).joined(separator: ".") + " " + what
  }
}
