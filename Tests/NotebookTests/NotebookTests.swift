import Foundation
import TestSupport
import Testing

@testable import MMoENotebook
@testable import MMoEReport

/// Markdown with commands: what is run, what is written back, and what is said when something is wrong.
@Suite struct NotebookTests {
  let scratch = ScratchFolder()

  private func notebook(_ text: String) throws -> String {
    let file = scratch("a.md")
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    return file
  }

  private func content() throws -> String { try String(contentsOfFile: scratch("a.md"), encoding: .utf8) }

  private func failure(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func outputsAreWrittenBehindTheCommands() throws {
    let file = try notebook(
      """
      # Title
      ```sh
      echo one; echo two >&2
      ```
      Between.

      ```sh stable quick time-limit=5
      echo '```'; printf 'three  \\n\\n'
      ```

      ```text
      old
      ```

      ```console
      echo never
      ```
      ~~~sh
      cd "$NOTEBOOK"; pwd; ls | wc -l; echo x >left; command -v mmoe | wc -l
      ~~~
      End.
      """)
    let expected = """
      # Title
      ```sh
      echo one; echo two >&2
      ```

      ```text
      one
      two
      ```
      Between.

      ```sh stable quick time-limit=5
      echo '```'; printf 'three  \\n\\n'
      ```

      ````text
      ```
      three
      ````

      ```console
      echo never
      ```
      ~~~sh
      cd "$NOTEBOOK"; pwd; ls | wc -l; echo x >left; command -v mmoe | wc -l
      ~~~

      ```text
      $NOTEBOOK
      0
      1
      ```
      End.
      """
    let progress = TextBuffer()
    #expect(try NotebookSession(file, sink: progress).run() == 0)
    #expect(try content() == expected)
    #expect(progress.text.contains("a.md:2  echo one"))
    // A second time changes nothing, and what is marked holds.
    #expect(try NotebookSession(file, sink: progress).run() == 0)
    #expect(try content() == expected)
    #expect(try NotebookSession(file, sink: progress).check() == 0)
  }

  @Test func checkNamesTheLineThatDiffers() throws {
    let file = try notebook(
      "```sh quick stable\nseq 3\n```\n\n```text\n1\n2\n4\n```\n\n```sh stable\nexit 1\n```\n```sh quick\nseq 2\n```\n```text\n9\n```\n"
    )
    let before = try content()
    let found = failure { _ = try NotebookSession(file, sink: TextBuffer()).check() }
    #expect(
      found?.hasPrefix("\(file):8: the output of line 1 differs: expected '4', found '3'") == true,
      "\(found ?? "nothing")")
    #expect(try content() == before)
    // Without the difference: the slow command is not run, the output that is not stable is not compared.
    _ = try notebook(before.replacing("4\n", with: "3\n"))
    #expect(try NotebookSession(file, sink: TextBuffer()).check() == 0)
    _ = try notebook(before.replacing("4\n", with: "3\n5\n"))
    let longer = failure { _ = try NotebookSession(file, sink: TextBuffer()).check() }
    #expect(longer?.contains(":9: ") == true && longer?.contains("expected '5', found no more lines") == true)
  }

  @Test(arguments: [
    ("no commands\n", "a.md: no commands found"),
    ("```sh\necho\n", "a.md:1: a block begins and has no end"),
    ("\n```sh slow\necho\n```\n", "a.md:2: 'slow' behind sh, expected time-limit=SECONDS, stable or quick"),
    ("```sh time-limit=0\necho\n```\n", "a.md:1: 'time-limit=0'"),
    ("```sh quick\nfalse; echo on\n```\n", "a.md:1: 'false; echo on' ended with status 1: no output"),
    ("```sh quick\necho why >&2; false | cat\n```\n", "ended with status 1: why"),
    ("```sh quick stable\necho\n```\n", "a.md:1: marked stable, but no output stands behind it"),
    ("```sh quick\nyes\n```\n", "a.md:1: more than 262144 bytes of output"),
    ("```sh quick\nkill -9 $$\n```\n", "ended with status 137"),
  ]) func refused(text: String, words: String) throws {
    let file = try notebook(text)
    let found = failure { _ = try NotebookSession(file, sink: TextBuffer()).check() }
    #expect(found?.contains(words) == true && found?.contains("\n") == false, "\(found ?? "nothing")")
  }

  /// At the limit everything goes, what a command started in the background too.
  @Test func timeLimitEndsTheWholeGroup() throws {
    let file = try notebook("```sh quick time-limit=3\nsleep 600 & echo $! >\(scratch("pid")); sleep 600\n```\n")
    let found = failure { _ = try NotebookSession(file, sink: TextBuffer()).check() }
    #expect(found?.contains("a.md:1: not done after 3.0s, so it was ended") == true, "\(found ?? "nothing")")
    let text = try String(contentsOfFile: scratch("pid"), encoding: .utf8)
    let background = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    // Ended, perhaps a moment later, and perhaps not yet waited for by the process that inherits it.
    var state: Substring?
    for _ in 0..<100 {
      state = (try? String(contentsOfFile: "/proc/\(background)/stat", encoding: .utf8))?.split(separator: " ")[2]
      if state == nil || state == "Z" { break }
      usleep(100_000)
    }
    #expect(state == nil || state == "Z")
  }

  @Test func aFileThatChangedMeanwhileIsLeft() throws {
    let file = try notebook("```sh\necho more >>\(scratch("a.md"))\n```\n")
    let found = failure { _ = try NotebookSession(file, sink: TextBuffer()).run() }
    #expect(found?.contains("changed while its commands ran") == true)
    #expect(try content().hasSuffix("```\nmore\n"))
  }

  /// Not an experiment: every shipped notebook's quick commands run, and their stable outputs hold.
  @Test(.timeLimit(.minutes(5))) func shippedNotebooksHold() throws {
    let folder = ProgramRunner.package + "/notebooks-md"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".md") }.sorted()
    #expect(names.contains("01-first-steps.md"))
    for name in names {
      let result = try ProgramRunner.run(["notebook", "check", folder + "/" + name])
      #expect(result.status == 0, "\(result.errors)")
    }
  }
}
