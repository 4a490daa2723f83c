import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport

/// `mmoe notebook run` and `check`: the commands of a Markdown file, and their outputs in it.
///
/// Commands run in the project's folder, each in a bash of its own. `mmoe` is the program that runs them; `$NOTEBOOK` is
/// an empty folder that goes away at the end, and is written so in outputs.
package struct NotebookSession {
  private let file: String
  private let sink: any TextSink

  /// - Parameter sink: where progress goes.
  package init(_ file: String, sink: any TextSink = StandardStream.output) {
    self.file = file
    self.sink = sink
  }

  /// Runs every command and writes its output behind it, into the file, after each.
  ///
  /// - Returns: the process's exit status: 0, or 130 when a signal ended it.
  /// - Throws: `NotebookError` naming the line of the first command that failed or took too long.
  package func run() throws -> Int32 {
    var text = try read()
    let document = try NotebookDocument(text, file: file)
    _ = try OutputPath(file).file("notebook")
    let runner = try NotebookRunner(document)
    var outputs: [Int: [String]] = [:]
    for index in document.commands.indices {
      guard let output = try runner.output(index, sink) else { return 130 }
      outputs[index] = output
      guard try read() == text else {
        throw NotebookError(
          file, found: "changed while its commands ran", remedy: "outputs from here on are not written, run it again")
      }
      let changed = document.replacing(outputs)
      if changed != text { try write(changed) }
      text = changed
    }
    return 0
  }

  /// Runs the commands that are marked quick, and compares the outputs of those that are marked stable.
  ///
  /// - Returns: the process's exit status: 0, or 130 when a signal ended it.
  /// - Throws: `NotebookError` naming the first line that differs, or the command that failed.
  package func check() throws -> Int32 {
    let document = try NotebookDocument(try read(), file: file)
    let runner = try NotebookRunner(document)
    for (index, command) in document.commands.enumerated() where command.isQuick {
      guard let found = try runner.output(index, sink) else { return 130 }
      guard command.isStable else { continue }
      guard let (lines, line) = command.output else {
        throw NotebookError(
          "\(file):\(command.line)", found: "marked stable, but no output stands behind it",
          remedy: "write it with `mmoe notebook run \(ShellWord.quoted(file))`")
      }
      let expected = NotebookRunner.trimmed(lines)
      guard
        let place = (0..<max(expected.count, found.count)).first(where: { at in
          at >= expected.count || at >= found.count || expected[at] != found[at]
        })
      else { continue }
      func shown(_ lines: [String]) -> String {
        place < lines.count ? "'\(lines[place].prefix(200))'" : "no more lines"
      }
      throw NotebookError(
        "\(file):\(line + place): the output of line \(command.line) differs: expected \(shown(expected)), found \(shown(found)); if that is meant, run `mmoe notebook run \(ShellWord.quoted(file))`"
      )
    }
    return 0
  }

  private func read() throws -> String {
    do {
      return try String(contentsOfFile: file, encoding: .utf8)
    } catch {
      throw NotebookError(
        "\(file): cannot be read as UTF-8 text (\(systemReason(of: error))); expected a Markdown file")
    }
  }

  private func write(_ text: String) throws { try DurableFile.write(text, to: file) }
}

/// Runs a notebook's commands one after the other, in one scratch folder.
final class NotebookRunner {
  private let document: NotebookDocument
  private let scratch: String
  private let environment: [String: String]

  /// - Throws: `NotebookError` when no scratch folder can be made.
  init(_ document: NotebookDocument) throws {
    self.document = document
    scratch = NSTemporaryDirectory() + "mmoe-notebook-" + UUID().uuidString
    do {
      try FileManager.default.createDirectory(atPath: scratch + "/files", withIntermediateDirectories: true)
    } catch {
      throw NotebookError(
        "\(scratch)", found: "cannot be created (\(systemReason(of: error)))", remedy: "set TMPDIR to a writable folder"
      )
    }
    var environment = ProcessInfo.processInfo.environment
    let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    environment["PATH"] = FilePath.folder(of: program) + ":" + path
    environment["NOTEBOOK"] = scratch + "/files"
    environment["LC_ALL"] = "C.UTF-8"
    self.environment = environment
  }

  deinit { try? FileManager.default.removeItem(atPath: scratch) }

  /// The output of a command; nil where a signal ended it.
  ///
  /// - Throws: `NotebookError` naming the line of a command that failed, took too long or said too much.
  func output(_ index: Int, _ sink: any TextSink) throws -> [String]? {
    let command = document.commands[index]
    let place = "\(document.file):\(command.line)"
    let file = scratch + "/output"
    let began = DispatchTime.now().uptimeNanoseconds
    let end = try ShellCommand(
      script: command.script, folder: ProjectHome.path, environment: environment, outputFile: file
    ).run(limit: command.timeLimit)
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9
    let bytes = FileManager.default.contents(atPath: file) ?? Data()
    guard end != .outputLimit, bytes.count <= ShellCommand.outputLimit else {
      throw NotebookError(
        place, found: "more than \(ShellCommand.outputLimit) bytes of output", expected: "less",
        remedy: "pipe it through tail or grep")
    }
    let text = String(decoding: bytes, as: UTF8.self).replacing(scratch + "/files", with: "$NOTEBOOK")
    let lines = NotebookRunner.trimmed(text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
    switch end {
    case .status(0): break
    case .interrupted: return nil
    case .timeLimit:
      throw NotebookError(
        place, found: "not done after \(HumanFormat.duration(command.timeLimit)), so it was ended",
        remedy: "raise time-limit or make it shorter")
    default:
      guard case .status(let status) = end else { break }
      throw NotebookError(place, found: "'\(command.title)' ended with status \(status): \(lines.last ?? "no output")")
    }
    sink.line("\(place)  \(command.title)  \(HumanFormat.duration(seconds))")
    return lines
  }

  /// Lines without spaces at their ends and without empty ones at the end.
  static func trimmed(_ lines: [String]) -> [String] {
    var result = lines.map { line in
      var line = line[...]
      while let last = line.last, last.isWhitespace { line.removeLast() }
      return String(line)
    }
    while result.last?.isEmpty == true { result.removeLast() }
    return result
  }
}
