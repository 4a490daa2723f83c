import Foundation
import TestSupport
import Testing

@testable import MMoERuns

/// What the program says of itself.
@Suite struct ProgramTests {
  private static let first = String(repeating: "1a", count: 20)
  private static let second = String(repeating: "2b", count: 20)
  let scratch = ScratchFolder()

  private func write(_ text: String, _ file: String) throws {
    let path = scratch(file)
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  /// Every way in which a repository says where it is.
  @Test(
    arguments: [
      ([".git/HEAD": first + "\n"], first),
      ([".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": first + "\n"], first),
      (
        [
          ".git/HEAD": "ref: refs/heads/main\n",
          ".git/packed-refs": "# pack-refs\n\(first) refs/heads/other-main\n\(second) refs/heads/main\n^\(first)\n",
        ], second
      ),
      // A further work tree; a submodule.
      (
        [
          ".git": "gitdir: ../repository/worktrees/one\n", "../repository/worktrees/one/HEAD": "ref: refs/heads/main\n",
          "../repository/worktrees/one/commondir": "../..\n", "../repository/refs/heads/main": second + "\n",
        ], second
      ),
      ([".git/HEAD": "ref: refs/heads/main\n"], nil), ([".git/HEAD": "junk"], nil), ([:], nil),
    ] as [([String: String], String?)])
  func findsTheCommit(files: [String: String], expected: String?) throws {
    for (file, text) in files { try write(text, "checkout/" + file) }
    #expect(CheckoutCommit.head(of: scratch("checkout")) == expected)
  }

  /// A program is that of the commit only as long as nothing was written since.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/git"), "git is not installed"))
  func knowsChangedSources() throws {
    func age(_ file: String, _ seconds: Double) throws {
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -seconds)], ofItemAtPath: scratch(file))
    }
    func found() throws -> CheckoutCommit? {
      for file in ["Sources", "Sources/a.swift", "Package.swift"] { try age(file, 100) }
      return CheckoutCommit(of: scratch(".build/mmoe"), project: scratch.path)
    }
    for file in ["Sources/a.swift", "Package.swift", ".build/mmoe"] { try write(file, file) }
    #expect(try found() == nil)
    let commit = try ProgramRunner.run(
      [
        "-c",
        "git init -q && git add Sources Package.swift && git -c user.name=a -c user.email=a@b commit -qm m && git rev-parse HEAD",
      ], program: "/bin/bash", in: scratch.path)
    let hash = commit.output.trimmingCharacters(in: .whitespacesAndNewlines)
    #expect(try found()?.long == hash && hash.count == 40, "\(commit.errors)")
    // Not what is no source.
    try write("x", "notes.txt")
    #expect(try found()?.sources == .committed)
    try write("x", "Sources/b.swift")
    try age("Sources/b.swift", 100)
    #expect(try found()?.sources == .changed)
    #expect(try found()?.short == hash.prefix(12) + " with uncommitted changes")
    try age(".build/mmoe", 1000)
    #expect(try found()?.sources == .newer)
    #expect(CheckoutCommit(of: scratch(".build/mmoe"), project: nil) == nil)
  }

  /// Each library says its version.
  @Test func librariesHaveVersions() {
    let libraries = LibraryVersions.all
    for name in ["OpenBLAS", "Open MPI", "HDF5", "libpng", "libjpeg-turbo", "libwebp", "libarchive", "FreeType"] {
      #expect(libraries.contains { $0.name == name }, "\(libraries)")
    }
    for library in libraries {
      #expect(library.version.first?.isNumber == true && library.version.contains("."), "\(library)")
      #expect(library.version != "0.0.0")
    }
  }

  @Test func oneVersionEverywhere() throws {
    let result = try ProgramRunner.run(["--version"])
    #expect(result.status == 0 && result.output.hasPrefix("mmoe \(ProgramIdentity.version)\n"), "\(result.errors)")
    #expect(result.output.contains("\nHDF5 ") && result.output.contains("\nprogram  \(ProgramRunner.program)"))
    #expect(ProgramIdentity.name.hasPrefix("mmoe \(ProgramIdentity.version) ("))
  }
}
