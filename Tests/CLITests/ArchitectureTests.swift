import Foundation
import TestSupport
import Testing

/// The street: which module stands below which, and which folder of a module below which. Every arrow goes down.
@Suite struct ArchitectureTests {
  /// A folder of Sources, from the bottom up.
  struct Module {
    let name: String
    /// Modules of ours that its files may import.
    let mayImport: Set<String>
    /// Its folders from the bottom up; "." is the files beside them.
    let folders: [String]

    init(_ name: String, _ mayImport: Set<String>, _ folders: [String] = ["."]) {
      (self.name, self.mayImport, self.folders) = (name, mayImport, folders)
    }

    var module: String { name == "mmoe" ? name : "MMoE" + name }
  }

  static let street: [Module] = {
    let ground: Set = ["MMoEFiles", "MMoETensor"]
    let train = ground.union(["MMoEData", "MMoEModels", "MMoEHDF5", "MMoEParallel", "MMoEReport", "MMoEConfig"])
    let runs = train.union(["MMoETrain", "MMoEWeights"])
    return [
      Module("Files", []),
      Module("Tensor", ["CKernels", "CBLAS", "MMoEFiles"], ["Core", "Operations", "Optimizers"]),
      Module(
        "Data", ground.union(["CPNG", "CGlyphs", "CHash", "CCompress"]),
        [
          "Files", "JSON", "Safetensors", "Images", "Audio", "Text/Tokenizers", "Text/Reading", "Text/Shards", "Pairs",
          "Digests",
          "Loading", "Synthesis", "Baselines", "Inspection", "Import", "Fetch",
        ]),
      Module(
        "Models", ground,
        [
          "Config", "Costs", "Routing", "Pass", "Layers", "Routers", "Balance", "MoE", "Backbone", "Modality", "Vision",
          "Language", "Audio", "Multimodal", "Architecture",
        ]),
      Module("HDF5", ["CHDF5", "MMoEFiles"]),
      Module(
        "Parallel", ground.union(["CMPI", "CKernels", "MMoEModels"]),
        ["Transport", "Trace", "Exchange", "Schedule", "Team"]),
      Module(
        "Report", ground.union(["MMoEModels", "MMoEParallel"]), ["Process", "Output", "Events", "Metrics", "Plot"]),
      Module(
        "Config", ground.union(["MMoEData", "MMoEModels", "MMoEParallel", "MMoEReport"]), ["Table", "Run"]),
      Module(
        "Train", train.union(["CKernels"]),
        [
          ".", "Parameters", "Optimizer", "Checkpoint", "Run", "Loop", "Text", "Multimodal", "Tasks/Probe", "Tasks",
        ]),
      Module(
        "Weights", train.union(["CMemory", "MMoETrain"]),
        [".", "Hub", "FineTune", "Checkpoints", "Language", "Offload"]),
      Module("Runs", runs.union(["CLibraries"]), [".", "Program", "Command", "Describe", "Looking", "Sessions"]),
      Module("Study", runs.union(["CKernels", "MMoERuns"]), [".", "Analysis", "Studies"]),
      Module("Bench", runs.union(["CKernels", "MMoERuns"]), [".", "Parity", "Doctor"]),
      Module("Notebook", ["MMoEFiles", "MMoEReport", "MMoEConfig"]),
      Module("mmoe", runs.union(["MMoERuns", "MMoEStudy", "MMoEBench", "MMoENotebook"])),
    ]
  }()

  /// The Swift files of a folder, below it.
  private static func files(of folder: String) -> [String] {
    let paths = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
    return paths.filter { $0.hasSuffix(".swift") }.sorted()
  }

  @Test func importsOnlyGoDown() throws {
    let sources = ProgramRunner.package + "/Sources"
    let known = Set(ArchitectureTests.street.map(\.name))
    for path in ArchitectureTests.files(of: sources) {
      #expect(known.contains(String(path.prefix { $0 != "/" })), "Sources/\(path) is in no module of the street")
    }
    let ours = ArchitectureTests.street.reduce(into: Set<String>()) { $0.formUnion($1.mayImport.union([$1.module])) }
    var below: Set<String> = []
    for module in ArchitectureTests.street {
      let upward = module.mayImport.filter { $0.hasPrefix("MMoE") }.subtracting(below)
      #expect(upward.isEmpty, "\(module.name) may import \(upward), which stand above it")
      below.insert(module.module)
      let folder = sources + "/" + module.name
      for path in ArchitectureTests.files(of: folder) {
        let text = try String(contentsOfFile: folder + "/" + path, encoding: .utf8)
        for line in text.split(separator: "\n") where line.hasPrefix("import ") || line.contains(" import ") {
          guard let name = line.split(separator: " ").last.map(String.init), ours.contains(name) else { continue }
          #expect(module.mayImport.contains(name), "Sources/\(module.name)/\(path) imports \(name)")
        }
      }
    }
  }

  /// Inside a module a file names types and functions of its own folder and of folders below it. Members of extensions are
  /// not seen.
  @Test func foldersOnlyUseFoldersBelow() throws {
    var arrows = 0
    for module in ArchitectureTests.street where module.folders.count > 1 {
      let folder = ProgramRunner.package + "/Sources/" + module.name
      var files: [(path: String, level: Int, code: SourceCode)] = []
      for path in ArchitectureTests.files(of: folder) {
        let own = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let level = try #require(
          module.folders.firstIndex(of: own), "Sources/\(module.name)/\(own) has no place among the module's folders")
        files.append((path, level, try SourceCode(file: folder + "/" + path)))
      }
      for (level, name) in module.folders.enumerated() {
        #expect(files.contains { $0.level == level }, "Sources/\(module.name)/\(name) has no file")
      }
      var homes: [String: Set<Int>] = [:]
      for file in files { for name in file.code.declarations { homes[name, default: []].insert(file.level) } }
      for file in files {
        for name in file.code.names where !file.code.declarations.contains(name) {
          // What has two homes cannot be told apart by its name.
          guard let home = homes[name], home.count == 1, let level = home.first, level != file.level,
            name.first!.isUppercase || file.code.calls.contains(name)
          else { continue }
          arrows += 1
          #expect(
            level < file.level,
            "\(module.name)/\(file.path) uses \(name) of the folder \(module.folders[level]), which stands above its own"
          )
        }
      }
    }
    #expect(arrows > 300)
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
    let folder = ProgramRunner.package + "/Sources/Tensor/Operations"
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
    // A lock, a log that only grows, a file of a staged folder, a child's output in a scratch folder, a probe, a download in parts.
    let others = [
      "Train/Run/RunFolder.swift", "Report/Output/AppendFile.swift", "Data/Files/FileReading.swift",
      "Notebook/ShellCommand.swift", "Report/Output/OutputPath.swift", "Data/Fetch/Download.swift",
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

  /// The system's reason has one wording: `systemReason` alone makes it of an `errno`.
  @Test func systemReasonsHaveOneSource() throws {
    let sources = ProgramRunner.package + "/Sources"
    for path in ArchitectureTests.files(of: sources) where path != "Files/SystemReason.swift" {
      let text = try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
      for forbidden in ["strerror", "perror("] {
        #expect(!text.contains(forbidden), "\(path) has \(forbidden); use systemReason")
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
      let declaration =
        /\bvar (out|plot|svg|traces?|sheet|picture|csv|predictions|confusion)\b[^=\n]*\n?[^\n]*/
      for option in text.matches(of: declaration) {
        found += 1
        #expect(option.output.0.contains("OutputPath"), "\(file): \(option.output.0)")
      }
    }
    #expect(found >= 15)
  }

  /// An option that several commands have is declared once: no two declarations have the same name and the same help.
  @Test func optionsAreDeclaredOnce() throws {
    let folder = ProgramRunner.package + "/Sources/mmoe"
    var places: [String: String] = [:]
    for file in ArchitectureTests.files(of: folder) {
      let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
      let declaration = /@(Option|Flag|Argument)\((?<words>[^@]*?)\)\s*var (?<name>\w+)/
      for found in text.matches(of: declaration) {
        let name = String(found.output.name)
        let key = name + String(found.output.words).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        // Words from `HelpText` are shared where defaults differ.
        guard !key.contains("HelpText") else { continue }
        let other = places.updateValue(file, forKey: key)
        #expect(other == nil, "\(file) declares \(name) as \(other ?? "") does; make it a group in Options.swift")
        if ["threads", "json", "settings", "checkpoint", "moe", "task"].contains(name) {
          #expect(file == "Options.swift", "\(file) declares \(name); use its group in Options.swift")
        }
      }
    }
    #expect(places.count > 60)
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
