import Foundation
import MMoEData
import MMoEFiles
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// A trained model, and what it finds for images.
enum PredictedRun {
  /// 8 steps on 4 classes of shapes.
  static let run: (folder: ScratchFolder, checkpoint: String) = {
    let folder = ScratchFolder()
    try! TinyRun(["train.steps=8", "checkpoint.every=8"]).train(into: folder("run"))
    return (folder, folder("run/step-0000008.h5"))
  }()

  static var checkpoint: String { run.checkpoint }
  static let images = TinyRun.data.path + "/val"

  /// What a command that prints JSON said of its checkpoint and data.
  static func fields(_ output: TextBuffer) throws -> [[String: Any]] {
    try output.text.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
      try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }
}

/// `mmoe predict`, in this process.
@Suite struct PredictTests {
  let scratch = ScratchFolder()
  let errors = TextBuffer()

  private func predict(
    _ files: [String], into output: TextBuffer, _ change: (inout PredictSession.Options) -> Void = { _ in }
  ) throws -> Int32 {
    var options = PredictSession.Options()
    (options.files, options.checkpoint, options.settings) = (files, PredictedRun.checkpoint, ["tensor.threads=2"])
    change(&options)
    return try PredictSession(options, CommandSinks(output: output, errors: errors)).run()
  }

  private func refusal(_ files: [String], _ change: (inout PredictSession.Options) -> Void = { _ in }) -> String {
    do { return "status \(try predict(files, into: TextBuffer(), change))" } catch { return "\(error)" }
  }

  private func rows(_ file: String) throws -> [[String]] {
    try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map { $0.components(separatedBy: ",") }
  }

  /// The same classes and probabilities as in evaluation, for a batch that ends uneven, in the order of the files.
  @Test(arguments: [5, 32]) func predictsAsEvaluationDoes(batch: Int) throws {
    let output = TextBuffer()
    let status = try predict([PredictedRun.images], into: output) {
      ($0.csv, $0.count) = (scratch("p.csv"), 4)
      $0.settings.append("data.batch=\(batch)")
    }
    #expect(status == 0 && errors.text == "", "\(errors.text)")
    var options = EvalSession.Options()
    (options.checkpoint, options.data, options.predictions) = (
      PredictedRun.checkpoint, TinyRun.data.path, scratch("e.csv")
    )
    try EvalSession(options, CommandSinks(output: TextBuffer(), errors: errors)).run()
    let (found, known) = (try rows(scratch("p.csv")), try rows(scratch("e.csv")))
    #expect(found[0].prefix(5).joined(separator: ",") == "file,class1,probability1,class2,probability2")
    #expect(found.count == 33 && known.count == 33)
    for (own, other) in zip(found, known).dropFirst() {
      #expect(own[0] == other[0] && own[1] == other[2])
      let (p, q) = (try #require(Float(own[2])), try #require(Float(other[4])))
      #expect(abs(p - q) < 1e-6)
      let shares = stride(from: 2, to: own.count, by: 2).compactMap { Double(own[$0]) }
      #expect(shares.count == 4 && shares == shares.sorted(by: >) && abs(shares.reduce(0, +) - 1) < 1e-6)
    }
    #expect(output.text.contains("\(scratch("p.csv")): 32 rows\n32 images   4 classes   in "))
  }

  /// As many columns as the terminal is wide, and names cut from the left.
  @Test func linesFitTheTerminal() throws {
    let file = PredictedRun.images + "/circle/00000.png"
    for width in [60, 100, 200] {
      let output = TextBuffer(isTerminal: true, width: width)
      #expect(try predict([file], into: output) == 0)
      let lines = output.text.split(separator: "\n").filter { $0.contains("00000.png") }
      #expect(lines.count == 1 && lines[0].count <= width && lines[0].contains(" %"), "\(output.text)")
      #expect(output.text.contains("more for each file") == (lines[0].filter { $0 == "%" }.count < 4))
      #expect(lines[0].hasPrefix(width < file.count ? "…" : width == 200 ? file : ""))
    }
  }

  /// Files that cannot be read are named, one line each; the others are predicted, those that are named twice twice.
  @Test func goesOnWithoutBadFiles() throws {
    let good = PredictedRun.images + "/star/00001.png"
    let (odd, cut, text) = (scratch("a, \"b\"\u{1}\nc.png"), scratch("cut.png"), scratch("text.png"))
    let content = try bytes(good)
    try content.write(to: URL(fileURLWithPath: odd))
    try content.prefix(100).write(to: URL(fileURLWithPath: cut))
    try "no image".write(toFile: text, atomically: false, encoding: .utf8)
    let output = TextBuffer()
    let files = [good, cut, scratch("gone.png"), odd, text, good]
    let status = try predict(files, into: output) {
      ($0.csv, $0.sheet, $0.count, $0.printsJSON) = (scratch("p.csv"), scratch("p.png"), 1, true)
    }
    #expect(status == 1)
    let lines = errors.text.split(separator: "\n")
    for (line, word) in zip(lines, ["\(cut): ", "gone.png: cannot be read: No such file", "\(text): "]) {
      #expect(line.contains(word), "\(errors.text)")
    }
    #expect(lines.last == "3 of 6 files could not be read" && !errors.text.contains("\u{1}"))
    let found = try PredictedRun.fields(output)
    #expect(found.map { $0["file"] as? String } == files)
    #expect(found.map { $0["error"] != nil } == [false, true, true, false, true, false])
    let csv = try String(contentsOfFile: scratch("p.csv"), encoding: .utf8)
    #expect(csv.contains("\n\"\(scratch("a, \"\"b\"\"\u{1}\nc.png"))\",") && csv.utf8.count { $0 == 10 } == 5)
    // Three pictures of 144 pixels, each with a line below.
    let sheet = try RGBImage(contentsOf: scratch("p.png"))
    #expect(sheet.width == 3 * 152 + 8 && sheet.height > 160)
    #expect(try predict([cut], into: TextBuffer()) == 1 && errors.text.hasSuffix("none of 1 files could be read\n"))
  }

  /// What is no image in a folder is counted; a sheet has its limit, and says so.
  @Test func folders() throws {
    let image = try bytes(PredictedRun.images + "/star/00001.png")
    try FileManager.default.createDirectory(atPath: scratch("many/below"), withIntermediateDirectories: true)
    for number in 0...PredictReport.sheetLimit {
      try image.write(to: URL(fileURLWithPath: scratch("many/\(number % 2 == 0 ? "below/" : "")\(1000 + number).png")))
    }
    for name in ["notes.txt", "x.tiff"] { try image.write(to: URL(fileURLWithPath: scratch("many/" + name))) }
    let output = TextBuffer()
    #expect(try predict([scratch("many")], into: output) { $0.sheet = scratch("p.png") } == 0)
    #expect(
      output.text.contains(
        "note: \(scratch("many")): left out: files that are no \(ImageFormat.names) images by their names (2, such as notes.txt)"
      ),
      "\(output.text)")
    #expect(output.text.contains("the first 200 of 201 pictures"))
    let names = output.text.split(separator: "\n").compactMap {
      $0.firstMatch(of: /\d{4}\.png/).map { String($0.output) }
    }
    #expect(names.count == 201 && names[0] == "1001.png" && names[100] == "1000.png")
  }

  @Test func refusals() throws {
    try FileManager.default.createDirectory(atPath: scratch("empty"), withIntermediateDirectories: true)
    try FileManager.default.createDirectory(atPath: scratch("words"), withIntermediateDirectories: true)
    try "x".write(toFile: scratch("words/a.txt"), atomically: false, encoding: .utf8)
    let file = PredictedRun.images + "/star/00001.png"
    #expect(
      refusal([scratch("empty")]).hasPrefix("\(scratch("empty")): no \(ImageFormat.names) images in it, it is empty"))
    #expect(refusal([scratch("words")]).contains("(1, a.txt)), expected a folder of images"))
    #expect(refusal([""]).hasPrefix("an empty name"))
    #expect(refusal([file]) { $0.count = 5 }.hasPrefix("--top-k is 5, expected 1 to 4, the classes of "))
    #expect(refusal([file]) { $0.settings = ["model.layers=3"] }.contains("mmoe predict can set data.batch, "))
    #expect(
      refusal([file]) { $0.settings = ["parallel.expert=2"] }.contains("parallel.expert is 2, but this is one process"))
    // A photo is not replaced by what is said about it.
    #expect(refusal([file]) { $0.csv = file }.hasPrefix("--csv: \(file) is one of the images, expected another file"))
    try TinyTextRun(["train.steps=1"]).train(into: scratch("text"))
    #expect(
      refusal([file]) { $0.checkpoint = scratch("text") }
        .contains("a checkpoint of the task lm, expected a model that classifies images"))
  }

  /// In float64, without the loop that keeps the best; the first among equals, and nothing of what is not finite.
  @Test func bestOfLogits() throws {
    let values: [Float] = [1, 3, 3, -2, 0.5, 0, 0, 0, 0, 0, 80, -80, .nan, 0, 0, 0, .infinity, 0, 0, 0]
    let best = ClassProbability.best(3, of: Tensor(values, shape: [4, 5]))
    for (row, expected) in [(0, [1, 2, 0]), (1, [0, 1, 2])] {
      let logits = values[row * 5..<row * 5 + 5].map(Double.init)
      let sum = logits.map(exp).reduce(0, +)
      let found = try #require(best[row])
      if row == 0 { #expect(found.map(\.label) == expected.map(Int32.init)) }
      for one in found { #expect(abs(Double(one.probability) - exp(logits[Int(one.label)]) / sum) < 1e-7) }
    }
    #expect(best[1]?.map(\.label) == [0, 1, 2] && best[2] == nil && best[3] == nil)
  }
}
