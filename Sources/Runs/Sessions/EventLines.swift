import MMoEReport
import MMoETrain

/// What `mmoe train --json-events` writes on standard output: a JSON object a line, for other programs.
///
///     {"event":"evaluation","step":40,"steps":120,"seconds":7.1,"best":true,"train_loss":2.5,"val_loss":2.6,"top1":0.2,…}
///     {"event":"checkpoint","step":40,"steps":120,"seconds":7.2,"file":"checkpoints/…/step-0000040.h5"}
///     {"event":"end","outcome":"finished","step":120,…}
///
/// `end` comes last, whatever ended the run: its `outcome` is `finished`, `interrupted` or `failed`, with the fields of `--json` or
/// with `error`.
struct EventLines {
  private let sink: any TextSink
  private let steps: Int?

  /// - Parameter steps: of the whole run, where they are known.
  init(_ sink: any TextSink, steps: Int?) { (self.sink, self.steps) = (sink, steps) }

  func write(_ event: TrainingEvent) {
    switch event {
    case .evaluated(let evaluation, let step, let seconds, let trainLoss, let isBest):
      var fields = common("evaluation", step, seconds)
      fields["best"] = .bool(isBest)
      fields["train_loss"] = .double(trainLoss)
      fields["val_loss"] = .double(evaluation.loss)
      for (name, value) in evaluation.metrics { fields[name] = .double(value) }
      line(fields)
    case .saved(let file, let step, let seconds):
      var fields = common("checkpoint", step, seconds)
      fields["file"] = .string(file)
      line(fields)
    }
  }

  /// - Parameter summary: what `--json` would say.
  func end(_ outcome: Trainer.Outcome, _ summary: [String: JSONValue]) {
    var fields = summary
    fields["event"] = "end"
    fields["outcome"] = outcome.isInterrupted ? "interrupted" : "finished"
    fields["step"] = .int(outcome.steps)
    line(fields)
  }

  func end(failure: any Error) {
    line(["event": "end", "outcome": "failed", "error": .string("\(failure)")])
  }

  private func common(_ name: String, _ step: Int, _ seconds: Double) -> [String: JSONValue] {
    [
      "event": .string(name), "step": .int(step), "steps": steps.map(JSONValue.int) ?? .null,
      "seconds": .double(seconds),
    ]
  }

  private func line(_ fields: [String: JSONValue]) { sink.line(JSONValue.object(fields).line) }
}
