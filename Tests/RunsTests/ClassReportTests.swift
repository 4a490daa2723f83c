import Foundation
import MMoEData
import MMoEFiles
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// What `mmoe eval` says of single images and of its confidence.
@Suite struct ClassReportTests {
  let scratch = ScratchFolder()

  private func evaluate(
    _ change: (inout EvalSession.Options) -> Void = { _ in }
  ) throws -> (fields: [String: Any], human: String) {
    var options = EvalSession.Options()
    (options.checkpoint, options.data) = (PredictedRun.checkpoint, TinyRun.data.path)
    options.printsJSON = true
    change(&options)
    let (output, errors) = (TextBuffer(), TextBuffer())
    try EvalSession(options, CommandSinks(output: output, errors: errors)).run()
    return (try #require(try PredictedRun.fields(output).last), errors.text)
  }

  /// No image of the data is replaced by what is said of it.
  @Test func outputsReplaceNoImage() throws {
    // Also of the part that is not evaluated.
    for image in ["/val/star/00001.png", "/train/star/00001.png"].map({ TinyRun.data.path + $0 }) {
      let before = try Data(contentsOf: URL(fileURLWithPath: image))
      do {
        _ = try evaluate { $0.predictions = image }
        Issue.record("an image was replaced")
      } catch {
        #expect("\(error)".hasPrefix("--predictions: \(image) is one of the images, expected another file"))
      }
      #expect(try Data(contentsOf: URL(fileURLWithPath: image)) == before)
    }
  }

  /// Rows hold what the metrics were made of, and the metrics are the same without them.
  @Test(.enabled(if: Gnuplot() != nil, "needs gnuplot")) func rowsAreTheEvaluation() throws {
    let alone = try evaluate().fields
    let (fields, human) = try evaluate {
      ($0.predictions, $0.confusion) = (scratch("e.csv"), scratch("c.png"))
      ($0.worst, $0.sheet) = (3, scratch("w.png"))
    }
    for (key, value) in alone where key != "seconds" {
      #expect(value as? NSObject == fields[key] as? NSObject, "\(key)")
    }
    let lines = try String(contentsOfFile: scratch("e.csv"), encoding: .utf8).split(separator: "\n")
    #expect(lines[0] == "path,label,predicted,correct,probability,loss" && lines.count == 33)
    let rows = lines.dropFirst().map { $0.components(separatedBy: ",") }
    #expect(rows.allSatisfy { $0[0].contains("/val/\($0[1])/") && ($0[1] == $0[2]) == ($0[3] == "1") })
    let (right, confidence) = (rows.map { Double($0[3])! }, rows.map { Double($0[4])! })
    let losses = rows.map { Double($0[5])! }
    #expect(right.reduce(0, +) / 32 == fields["top1"] as? Double)
    #expect(abs(losses.reduce(0, +) / 32 - (fields["val_loss"] as? Double ?? .nan)) < 1e-6)
    // The definition, bin by bin.
    var error = 0.0
    for bin in 0..<15 {
      let (low, high) = (Double(bin) / 15, Double(bin + 1) / 15)
      let inside = confidence.indices.filter { low < confidence[$0] && confidence[$0] <= high }
      guard !inside.isEmpty else { continue }
      let accuracy = inside.map { right[$0] }.reduce(0, +) / Double(inside.count)
      let mean = inside.map { confidence[$0] }.reduce(0, +) / Double(inside.count)
      error += Double(inside.count) / 32 * abs(accuracy - mean)
    }
    let found = try #require(fields["calibration_error"] as? Double)
    #expect(abs(found - error) < 1e-6 && found > 0)
    #expect(human.contains("   calibration error \(HumanFormat.percent(found))   in "))
    // The worst are mistakes, the highest loss first.
    let worst = try #require(fields["worst"] as? [[String: Any]])
    let wrong = zip(losses, right).filter { $1 == 0 }.map(\.0).sorted(by: >)
    #expect(
      zip(worst, wrong).allSatisfy { abs(($0["loss"] as! Double) - $1) < 1e-6 } && worst.count == min(3, wrong.count))
    #expect(human.contains("the worst \(worst.count) of \(wrong.count) mistakes"))
    #expect(try RGBImage(contentsOf: scratch("w.png")).width == worst.count * 152 + 8)
    #expect(try RGBImage(contentsOf: scratch("c.png")).width > 300)
  }

  /// Known bins: on their upper ends, empty ones, and the least and the largest confidence.
  @Test func calibration() {
    var bins = CalibrationBins()
    #expect(bins.error.isNaN)
    for (confidence, isCorrect) in [(Float(1), true), (1, false), (0.5, true), (0.2, false), (0, false)] {
      bins.add(confidence: confidence, isCorrect: isCorrect)
    }
    // |1 − 2| + |1 − 0.5| + |0 − 0.2| + 0, over five. 0.2 as a float is above 3 / 15, in the next bin, which changes nothing.
    #expect(abs(bins.error - (1 + 0.5 + Double(Float(0.2))) / 5) < 1e-12)
    // One bin for 7 / 15 + a little … 8 / 15: right and wrong ones make up for each other.
    var even = CalibrationBins()
    for isCorrect in [true, false] { even.add(confidence: 0.5, isCorrect: isCorrect) }
    #expect(even.error == 0)
    // In any order, and added up by parts.
    var (forth, back) = (CalibrationBins(), CalibrationBins())
    let values = (1...1000).map { Float($0) / 1000 }
    for value in values { forth.add(confidence: value, isCorrect: value < 0.7) }
    for value in values.reversed() { back.add(confidence: value, isCorrect: value < 0.7) }
    #expect(forth.sums == back.sums)
  }

  /// A task without classes is named before anything is evaluated or written.
  @Test func textHasNoClasses() throws {
    try TinyTextRun(["train.steps=1"]).train(into: scratch("text"))
    for (option, name) in [(\EvalSession.Options.predictions, "--predictions"), (\.confusion, "--confusion")] {
      #expect {
        try evaluate {
          ($0.checkpoint, $0.data) = (scratch("text"), TinyTextRun.data.path)
          $0[keyPath: option] = scratch("out")
        }
      } throws: { "\($0)".hasPrefix("\(name): ") && "\($0)".contains("has the task lm, without labels") }
    }
    #expect(!FileManager.default.fileExists(atPath: scratch("out")))
  }
}
