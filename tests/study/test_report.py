from palate.report import (
    CurvePoint,
    html_card,
    label,
    markdown_report,
    plot_belief,
    plot_standings,
    plot_trade_off,
)
from palate.statistics import Figure, TradeOff
from palate.types import Belief, Candidate, Standing

SEED, BETTER = Candidate.make("Reply."), Candidate.make("Reply | <b>kindly</b>\nand say why.")
CANDIDATES = {c.id: c for c in (SEED, BETTER)}
BELIEF = Belief(
    9,
    4,
    BETTER.id,
    (Standing(BETTER.id, 0.75, 0.55, 0.9, 0.8, 4), Standing(SEED.id, 0.5, 0.5, 0.5, 0.2, 4)),
    False,
    "Go on.",
)


def test_a_label_is_one_line_that_fits() -> None:
    assert label("a  b\nc") == "a b c"
    assert label("x" * 70, 10) == "x" * 9 + "…"


def test_the_report_quotes_the_best_prompt_and_its_figures() -> None:
    text = markdown_report(BELIEF, CANDIDATES, cost="unknown")
    assert "> Reply | <b>kindly</b>\n> and say why." in text
    assert "| Reply \\| <b>kindly</b> and say why. | 75% | 55% – 90% | 80% | 4 |" in text
    assert "Votes: 4. Go on." in text
    assert "Cost so far: unknown" in text
    assert "nothing is known" in markdown_report(None, CANDIDATES, cost="0 USD")


def test_the_card_is_text_only() -> None:
    card = html_card("<study>", BELIEF, CANDIDATES)
    assert "<b>kindly" not in card
    assert "&lt;study&gt;" in card
    assert "no votes yet" in html_card("s", None, CANDIDATES)


def test_figures_show_the_numbers_they_were_given() -> None:
    curve = [CurvePoint(1, 0.2, SEED.id, 0.5), CurvePoint(2, 0.6, BETTER.id, 0.7)]
    lines = plot_belief(curve).axes[0].lines
    assert list(lines[0].get_ydata()) == [0.2, 0.6]
    assert list(lines[1].get_ydata()) == [0.5, 0.7]
    axes = plot_standings(BELIEF, CANDIDATES).axes[0]
    assert list(axes.lines[2].get_xdata()) == [0.55, 0.9]
    assert axes.get_yticklabels()[1].get_text().startswith("Reply | ")


def test_the_trade_off_has_a_point_for_each_choice() -> None:
    pleasing = TradeOff(0.0, "a", Figure(0.8, 0.7, 0.9), Figure(0.4, 0.3, 0.5), {})
    curve = [
        pleasing,
        TradeOff(0.5, "a", Figure(0.8, 0.7, 0.9), Figure(0.4, 0.3, 0.5), {}),
        TradeOff(1.0, "b", Figure(0.7, 0.6, 0.8), Figure(0.6, 0.5, 0.7), {}),
    ]
    axes = plot_trade_off(curve, "The groups differ.").axes[0]
    assert axes.lines[0].get_xdata().tolist() == [0.8, 0.7]
    assert axes.lines[0].get_ydata().tolist() == [0.4, 0.6]
    assert axes.get_title() == "The groups differ."
    assert [text.get_text() for text in axes.texts] == ["fairness 0", "fairness 1"]
    assert plot_trade_off([]).axes[0].get_xlabel()
