import MMoEFiles

/// Markdown with commands: blocks fenced as `sh`, each followed by a block fenced as `text` with its output.
///
/// Words behind `sh` say how a command is treated: `time-limit=SECONDS`, `stable` (the output is the same every time),
/// `quick` (cheap enough to be checked on every change).
struct NotebookDocument {
  /// A fenced block; the numbers are indices of `lines`.
  private struct Fence {
    let opening: Int
    let closing: Int
    let info: [Substring]
  }

  struct Command {
    /// Where the block begins, counted from 1.
    let line: Int
    let script: String
    var isStable = false
    var isQuick = false
    /// In seconds.
    var timeLimit = 600.0
    /// The block behind it: its lines, and where the first of them stands, counted from 1.
    var output: (lines: [String], line: Int)?

    fileprivate let closing: Int
    fileprivate var outputFence: (opening: Int, closing: Int)?

    /// The command's first line, for messages.
    var title: String { script.split(separator: "\n").first.map(String.init) ?? "" }
  }

  let file: String
  private let lines: [String]
  let commands: [Command]

  /// - Throws: `NotebookError` naming file and line: no commands, a block without an end, or an
  ///   unknown word behind `sh`.
  init(_ text: String, file: String) throws {
    self.file = file
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    self.lines = lines
    let fences = try NotebookDocument.fences(lines, file)
    var commands: [Command] = []
    for (index, fence) in fences.enumerated() where fence.info.first == "sh" {
      var command = Command(
        line: fence.opening + 1, script: lines[fence.opening + 1..<fence.closing].joined(separator: "\n"),
        closing: fence.closing)
      for word in fence.info.dropFirst() { try NotebookDocument.apply(word, to: &command, file) }
      if index + 1 < fences.count {
        let next = fences[index + 1]
        let between = lines[fence.closing + 1..<next.opening]
        if next.info.first == "text", between.allSatisfy({ $0.allSatisfy(\.isWhitespace) }) {
          command.outputFence = (next.opening, next.closing)
          command.output = (Array(lines[next.opening + 1..<next.closing]), next.opening + 2)
        }
      }
      commands.append(command)
    }
    guard !commands.isEmpty else {
      throw NotebookError("\(file): no commands found; expected blocks fenced as ```sh, and lines that end without \\r")
    }
    self.commands = commands
  }

  /// The text with new outputs; a command without one gets a block behind it.
  ///
  /// - Parameter outputs: lines by the command's index.
  func replacing(_ outputs: [Int: [String]]) -> String {
    var result = lines
    for (index, output) in outputs.sorted(by: { $0.key > $1.key }) {
      let command = commands[index]
      // A fence that the output cannot close.
      let longest = output.map { line in line.prefix { $0 == "`" }.count }.max() ?? 0
      let mark = String(repeating: "`", count: max(3, longest + 1))
      let block = ["\(mark)text"] + output + [mark]
      if let fence = command.outputFence {
        result.replaceSubrange(fence.opening...fence.closing, with: block)
      } else if !output.isEmpty {
        result.insert(contentsOf: [""] + block, at: command.closing + 1)
      }
    }
    return result.joined(separator: "\n")
  }

  private static func apply(_ word: Substring, to command: inout Command, _ file: String) throws {
    switch word {
    case "stable": command.isStable = true
    case "quick": command.isQuick = true
    default:
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, parts[0] == "time-limit", let seconds = Double(parts[1]), seconds > 0, seconds <= 1e6
      else {
        throw NotebookError(
          "\(file):\(command.line)", found: "'\(word)' behind sh", expected: "time-limit=SECONDS, stable or quick")
      }
      command.timeLimit = seconds
    }
  }

  private static func fences(_ lines: [String], _ file: String) throws -> [Fence] {
    var fences: [Fence] = []
    var open: (line: Int, mark: Character, length: Int, info: [Substring])?
    for (index, line) in lines.enumerated() {
      let text = line.drop { $0 == " " }
      guard line.count - text.count <= 3, let mark = text.first, mark == "`" || mark == "~" else { continue }
      let length = text.prefix { $0 == mark }.count
      guard length >= 3 else { continue }
      let rest = text.dropFirst(length)
      if let begun = open {
        guard mark == begun.mark, length >= begun.length, rest.allSatisfy(\.isWhitespace) else { continue }
        fences.append(Fence(opening: begun.line, closing: index, info: begun.info))
        open = nil
      } else if !rest.contains("`") {
        open = (index, mark, length, rest.split(whereSeparator: \.isWhitespace))
      }
    }
    if let open {
      throw NotebookError(
        "\(file):\(open.line + 1)", found: "a block begins and has no end",
        remedy: "close it with \(open.mark) three times")
    }
    return fences
  }
}

/// What is wrong with a notebook.
package struct NotebookError: FaultError {
  package let fault: Fault
  package init(_ fault: Fault) { self.fault = fault }
}
