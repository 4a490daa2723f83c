import Foundation
import TestSupport
import Testing

/// The rooms and which way is down: every `import` of one of our modules must be allowed here.
@Suite struct ArchitectureTests {
  /// Folder under Sources, and the modules of ours that its files may import.
  static let mayImport: [String: Set<String>] = [
    "Files": [],
    "Tensor": ["CKernels", "CBLAS"],
    "Data": ["MMoEFiles", "MMoETensor", "CPNG", "CGlyphs", "CHash", "CCompress"],
    "Models": ["MMoETensor"],
    "Parallel": ["CMPI", "CKernels", "MMoEFiles", "MMoETensor", "MMoEModels"],
    "HDF5": ["CHDF5", "MMoEFiles"],
    "Train": ["CKernels", "CMemory", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEParallel", "MMoEHDF5"],
    "mmoe": ["MMoETensor", "MMoEData", "MMoETrain"],
  ]

  @Test func importsOnlyGoDown() throws {
    let sources = ProgramRunner.package + "/Sources"
    let ours = Set(ArchitectureTests.mayImport.values.flatMap { $0 }).union(["MMoETrain", "mmoe"])
    var files = 0
    for folder in try FileManager.default.contentsOfDirectory(atPath: sources) {
      let paths = FileManager.default.enumerator(atPath: sources + "/" + folder)?.compactMap { $0 as? String } ?? []
      for path in paths where path.hasSuffix(".swift") {
        files += 1
        let allowed = try #require(
          ArchitectureTests.mayImport[folder], "Sources/\(folder) is not in the list of rooms")
        let text = try String(contentsOfFile: "\(sources)/\(folder)/\(path)", encoding: .utf8)
        for line in text.split(separator: "\n") where line.hasPrefix("import ") || line.contains(" import ") {
          guard let module = line.split(separator: " ").last.map(String.init), ours.contains(module) else {
            continue
          }
          #expect(allowed.contains(module), "Sources/\(folder)/\(path) imports \(module)")
        }
      }
    }
    #expect(files > 80)
  }

  /// A test that cannot run says why (`.enabled(if:)`). One that returns early without a word counts as passed.
  @Test func noTestPassesWithoutTesting() throws {
    let tests = ProgramRunner.package + "/Tests"
    let paths = FileManager.default.enumerator(atPath: tests)?.compactMap { $0 as? String } ?? []
    var files = 0
    for path in paths where path.hasSuffix(".swift") && path.split(separator: "/")[0].hasSuffix("Tests") {
      files += 1
      let lines = try String(contentsOfFile: tests + "/" + path, encoding: .utf8).split(
        separator: "\n", omittingEmptySubsequences: false
      ).map { $0.trimmingCharacters(in: .whitespaces) }
      for (number, line) in lines.enumerated() {
        let saysSomething = lines[max(0, number - 3)...number].contains {
          $0.contains("Issue.record") || $0.contains("#expect")
        }
        // A bare `return` before a value on the next line has none of its own.
        let isLast = number + 1 == lines.count || lines[number + 1].hasPrefix("}")
        let returns = line.hasSuffix("{ return" + " }") || (line == "return" && isLast)
        #expect(!returns || saysSomething, "Tests/\(path):\(number + 1) returns without a result")
      }
    }
    #expect(files > 60)
  }

  /// Operations read every parameter that they are given through their tape, which otherwise does not know what is
  /// trained.
  @Test func operationsReadTheirParameters() throws {
    let folder = ProgramRunner.package + "/Sources/Tensor"
    var found = 0
    for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasPrefix("Tape+") {
      let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
      var arguments: [String] = []
      for signature in text.matches(of: /func \w+\([^{]*\{/) {
        arguments += signature.output.matches(of: /(\w+): Parameter\b/).map { String($0.output.1) }
      }
      for name in Set(arguments) {
        let (operations, reads) = (arguments.count { $0 == name }, text.ranges(of: "read(\(name))").count)
        #expect(reads >= operations, "\(file): \(name) is read in \(reads) of \(operations) operations")
      }
      found += arguments.count
    }
    #expect(found >= 17)
  }

  /// Paths are taken apart by `FilePath` alone: Foundation's operations trap on names of one character.
  @Test func foundationTakesNoPathApart() throws {
    let sources = ProgramRunner.package + "/Sources"
    let paths = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
    for path in paths where path.hasSuffix(".swift") {
      let text = try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
      for forbidden in ["deletingLastPathComponent", "as NSString).", ".lastPathComponent"] {
        #expect(!text.contains(forbidden), "\(path) has \(forbidden); use FilePath")
      }
    }
  }

  /// What replaces a file is complete and on the disk first: `DurableFile` and `StagedFolder` alone see to that.
  @Test func filesAreWrittenDurably() throws {
    let sources = ProgramRunner.package + "/Sources"
    // A lock, a log that only grows, a file of a staged folder, a child's output in a scratch folder, a probe.
    let others = [
      "Train/Loop/RunFolder.swift", "Train/Record/AppendFile.swift", "Data/FileReading.swift",
      "Train/Notebook/ShellCommand.swift", "Train/Record/OutputPath.swift",
    ]
    let paths = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
    for path in paths where path.hasSuffix(".swift") && !path.hasPrefix("Files/") {
      let text = try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
      for forbidden in ["options: .atomic", "atomically:", "O_CREAT"]
      where forbidden != "O_CREAT" || !others.contains(path) {
        #expect(!text.contains(forbidden), "\(path) has \(forbidden); use DurableFile")
      }
    }
  }

  /// Standard output is written by `StandardStream` alone, which sees what cannot be written.
  @Test func standardOutputHasOneDoor() throws {
    let sources = ProgramRunner.package + "/Sources"
    let paths = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
    for path in paths where path.hasSuffix(".swift") {
      let text = try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
      let call = /(^|[^\w.])(debugPrint|print|dump|printf|puts|fputs|fwrite|putchar)\(|FileHandle\.standardOutput/
      let found = text.firstMatch(of: call).map { String($0.output.0) }
      #expect(found == nil, "\(path) has \(found ?? ""); use StandardStream")
    }
  }

  /// Commands that the program tells users to run have their paths quoted for the shell.
  @Test func suggestedCommandsAreQuoted() throws {
    let sources = ProgramRunner.package + "/Sources"
    let paths = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
    var found = 0
    for path in paths where path.hasSuffix(".swift") {
      let text = try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
      // Up to the end of the command or of the literal, which a quotation mark inside an interpolation does not end.
      for command in text.matches(of: /(mmoe [a-z]+|mkdir -p|--(out|resume|data)) [^"`,;\n]*?\\\((?<value>[\w.]+)/) {
        // Not the name of the option that an error is about.
        if command.output.0.contains(": ") { continue }
        found += 1
        let isQuoted = command.output.value == "ShellWord.quoted" || command.output.value.hasSuffix("rawValue")
        #expect(
          isQuoted || command.output.value.hasSuffix(".name"),
          "\(path): '\(command.output.0)' is not quoted for the shell")
      }
    }
    #expect(found >= 5)
  }

  /// Options that name what a command makes are `OutputPath`s, which are looked at before anything is computed.
  @Test func outputsAreCheckedFirst() throws {
    let folder = ProgramRunner.package + "/Sources/mmoe"
    var found = 0
    for file in try FileManager.default.contentsOfDirectory(atPath: folder) {
      let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
      for option in text.matches(of: /\bvar (out|plot|svg|trace|traces|sheet|picture)\b[^=\n]*\n?[^\n]*/) {
        found += 1
        #expect(option.output.0.contains("OutputPath"), "\(file): \(option.output.0)")
      }
    }
    #expect(found >= 15)
  }

  /// Files of one idea.
  @Test func filesStayShort() throws {
    let sources = ProgramRunner.package + "/Sources"
    let paths = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
    for path in paths where path.hasSuffix(".swift") {
      let lines = try String(contentsOfFile: sources + "/" + path, encoding: .utf8).split(
        separator: "\n", omittingEmptySubsequences: false
      ).count
      #expect(lines <= 450, "\(path) has \(lines) lines: one idea or several?")
    }
  }
}
