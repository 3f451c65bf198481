"""How people ask for arithmetic, in English and Chinese, and how they ask for other things.

A question is a frame around an expression (`What is {E}?` around `12 plus 7`), or a phrase of one
operation that names its operands itself (`Subtract {b} from {a}.`). The frames in `HELD_OUT` are
never trained on: they measure whether a new wording of known words is understood.
"""

from __future__ import annotations

SYMBOLS = {"+": ("+", "＋"), "-": ("-", "−", "–"), "*": ("*", "×", "x", "·")}
WORDS_EN = {"+": ("plus",), "-": ("minus",), "*": ("times", "multiplied by")}
WORDS_ZH = {"+": ("加", "加上"), "-": ("减", "减去"), "*": ("乘", "乘以")}

FRAMES_EN = (
    "{E}",
    "{E}=",
    "{E} = ?",
    "{E}?",
    "What is {E}?",
    "What's {E}?",
    "what is {E}",
    "What does {E} equal?",
    "What do you get for {E}?",
    "What is the value of {E}?",
    "What is the result of {E}?",
    "How much is {E}?",
    "how much is {E}",
    "Calculate {E}.",
    "Calculate {E}",
    "Compute {E}.",
    "compute {E}",
    "Please compute {E}.",
    "Please calculate {E} for me.",
    "Evaluate {E}.",
    "Evaluate the expression {E}.",
    "Solve {E}.",
    "Solve: {E}",
    "Solve this: {E}",
    "Find {E}.",
    "Find the value of {E}.",
    "Work out {E}.",
    "Can you work out {E}?",
    "Can you tell me what {E} is?",
    "Could you compute {E} please?",
    "Tell me the answer to {E}.",
    "Tell me {E}.",
    "Give me the result of {E}.",
    "I need to know what {E} is.",
    "I want to know {E}.",
    "Do you know {E}?",
    "Do the arithmetic: {E}",
    "Quick question: {E}?",
    "My homework says {E}. What is the answer?",
    "The problem is {E}. Solve it step by step.",
    "Let's do {E}.",
    "{E} is what?",
    "{E} equals what?",
    "{E}, what is it?",
    "Answer: {E} = ",
    "Q: {E}\nA:",
    "Question: {E}",
    "Simplify {E}.",
)
FRAMES_ZH = (
    "{E}",
    "{E}=",
    "{E}=?",
    "{E}等于多少？",
    "{E}等于几？",
    "{E}是多少？",
    "{E}得多少？",
    "{E}的结果是多少？",
    "{E}的值是多少？",
    "{E}的答案是什么？",
    "计算{E}",
    "计算{E}。",
    "请计算{E}。",
    "请计算{E}的值。",
    "请算一下{E}。",
    "帮我算一下{E}。",
    "帮我计算{E}。",
    "请帮我算{E}等于多少。",
    "求{E}的值。",
    "求{E}的结果。",
    "求{E}。",
    "请问{E}等于多少？",
    "请问{E}是多少？",
    "你知道{E}等于多少吗？",
    "告诉我{E}的结果。",
    "我想知道{E}是多少。",
    "这道题怎么做：{E}",
    "题目：{E}",
    "问题：{E}等于几？",
    "一步一步计算{E}。",
)
HELD_OUT_EN = (
    "Please tell me what {E} equals.",
    "Can you calculate {E} for me?",
    "I need the value of {E}, please.",
)
HELD_OUT_ZH = ("请告诉我{E}等于多少。", "你能帮我算{E}吗？", "我想知道{E}的结果是什么。")

# Phrases of one operation. `{a}` is the left operand, whatever the order in the sentence.
PHRASES_EN = {
    "+": (
        "Add {a} and {b}.",
        "Add {b} to {a}.",
        "What is the sum of {a} and {b}?",
        "Find the sum of {a} and {b}.",
        "What is {a} added to {b}?",
        "I have {a} apples and buy {b} more. How many apples do I have now?",
        "There are {a} red balls and {b} blue balls. How many balls in total?",
        "What do {a} and {b} add up to?",
    ),
    "-": (
        "Subtract {b} from {a}.",
        "Take {b} away from {a}.",
        "What is the difference between {a} and {b}?",
        "What is {a} take away {b}?",
        "I had {a} coins and gave away {b}. How many coins are left?",
        "What is left when {b} is subtracted from {a}?",
    ),
    "*": (
        "Multiply {a} by {b}.",
        "Multiply {a} and {b}.",
        "What is the product of {a} and {b}?",
        "Find the product of {a} and {b}.",
        "There are {a} boxes with {b} pens in each. How many pens in total?",
    ),
}
PHRASES_ZH = {
    "+": (
        "{a}与{b}的和是多少？",
        "求{a}和{b}的和。",
        "把{a}和{b}加起来。",
        "小明有{a}个苹果，又买了{b}个，一共有多少个？",
    ),
    "-": (
        "{a}与{b}的差是多少？",
        "求{a}和{b}的差。",
        "从{a}中减去{b}。",
        "小明有{a}个苹果，吃了{b}个，还剩多少个？",
    ),
    "*": (
        "{a}与{b}的积是多少？",
        "求{a}和{b}的乘积。",
        "每盒有{b}支笔，{a}盒一共有多少支？",
    ),
}

BEFORE_EN = ("Hi! ", "Hello, ", "Hello! ", "Hey, ", "Please help me. ", "OK. ", "Thanks! ", "So, ")
BEFORE_ZH = ("你好，", "你好！", "请帮帮我。", "老师，", "好的，", "谢谢！")
AFTER_EN = (
    " Please reason step by step, and put your final answer within \\boxed{}.",
    " Put your final answer within \\boxed{}.",
    " Thanks!",
    " Thank you.",
    " Think step by step.",
    " Show your work.",
    "\n",
)
AFTER_ZH = (
    "请一步步推理，并把最终答案放在\\boxed{}中。",
    "请逐步推理。",
    "谢谢！",
    "谢谢。",
)
SYSTEM = (
    "You are a helpful assistant.",
    "You are a calculator.",
    "You are a helpful and harmless assistant.",
    "Answer briefly.",
    "You are a math tutor. Be precise.",
    "你是一个有用的助手。",
)

# What the models do not know. `{n}` and `{m}` are numbers, `{w}` is a topic.
OTHER_EN = (
    "Who are you?",
    "What is your name?",
    "Hello!",
    "Hi",
    "Hello, how are you?",
    "How are you today?",
    "Thank you!",
    "Good morning.",
    "Tell me a joke.",
    "Tell me a story about a {w}.",
    "Write a poem about {w}.",
    "Write a haiku about the {w}.",
    "What is the capital of {w}?",
    "Who was the king of {w}?",
    "Who wrote {w}?",
    "Explain {w} to me.",
    "Explain {w} in {n} words.",
    "What is {w}?",
    "What is the meaning of {w}?",
    "Why is the {w} blue?",
    "Where can I buy a {w}?",
    "How do I make {w}?",
    "How old is {w}?",
    "How many people live in {w}?",
    "Translate {w} into French.",
    "Translate this into Chinese: {w}",
    "What happened in {n}?",
    "What is special about the number {n}?",
    "I was born in {n}.",
    "Is {n} a prime number?",
    "Give me {n} facts about {w}.",
    "Write a Python function that sorts {w}.",
    "Write code for a {w}.",
    "Summarize the history of {w}.",
    "Can you help me with {w}?",
    "What do you think about {w}?",
    "Do you like {w}?",
    "Recommend a book about {w}.",
    "What is the weather in {w}?",
    "My {w} is broken. What should I do?",
    "Which is better, {w} or {w2}?",
    "Compare {w} and {w2}.",
    "Tell me about {w} and {w2}.",
)
OTHER_ZH = (
    "你是谁？",
    "你叫什么名字？",
    "你好",
    "你好！",
    "今天天气怎么样？",
    "讲个笑话。",
    "写一首关于{w}的诗。",
    "请介绍一下{w}。",
    "{w}是什么？",
    "{w}的首都是哪里？",
    "谁写了{w}？",
    "为什么{w}是蓝色的？",
    "给我讲一个{w}的故事。",
    "{n}年发生了什么？",
    "你喜欢{w}吗？",
    "怎么做{w}？",
    "把{w}翻译成英文。",
    "推荐一本关于{w}的书。",
)
# Arithmetic beyond the task, so that the limit is said rather than a wrong number.
# Arithmetic that the models do not know, and the expression to copy from it before the refusal:
# whether a number is too long shows more easily once the expression is copied.
BEYOND = (
    ("{n}/{m}", ""),
    ("{n} / {m}", ""),
    ("{n} ÷ {m}", ""),
    ("What is {n} divided by {m}?", ""),
    ("Divide {n} by {m}.", ""),
    ("{n}除以{m}等于多少？", ""),
    ("{n}^{m}", ""),
    ("{n} to the power of {m}", ""),
    ("What is the square root of {n}?", ""),
    ("{n}.5 + {m}.25", "{n}.5+{m}.25"),
    ("What is {n}% of {m}?", ""),
    ("{L} + {m}", "{L}+{m}"),
    ("What is {L} + {n}?", "{L}+{n}"),
    ("{m} - {L}", "{m}-{L}"),
    ("计算{L}+{n}", "{L}+{n}"),
    ("{t} * {t2}", "{t}*{t2}"),
    ("{t} × {t2}", "{t}*{t2}"),
    ("What is {t} times {t2}?", "{t}*{t2}"),
    ("{t}乘以{t2}等于多少？", "{t}*{t2}"),
)
TOPICS_EN = (
    "France", "Germany", "Japan", "China", "Brazil", "Egypt", "India", "Spain", "Canada", "Kenya",
    "sky", "sea", "moon", "sun", "cat", "dog", "horse", "tree", "river", "mountain", "city", "car",
    "computer", "music", "love", "time", "rain", "snow", "winter", "summer", "bread", "soup",
    "coffee", "tea", "chess", "football", "history", "science", "physics", "gravity", "light",
    "photosynthesis", "democracy", "economics", "Hamlet", "Don Quixote", "Python", "Kubernetes",
    "a list", "strings", "the weather", "language", "poetry", "art", "a bicycle", "a phone",
    "Shakespeare", "Einstein", "Newton", "the universe", "an elephant", "a robot", "the internet",
)  # fmt: skip
TOPICS_ZH = (
    "法国", "德国", "日本", "中国", "巴西", "埃及", "天空", "大海", "月亮", "太阳", "猫", "狗",
    "春天", "冬天", "音乐", "爱情", "时间", "历史", "物理", "数学家", "红楼梦", "西游记", "面包",
    "茶", "咖啡", "足球", "电脑", "机器人", "宇宙", "诗歌", "城市", "山", "河",
)  # fmt: skip
REFUSAL_EN = (
    "I only know arithmetic: sums and differences of numbers up to 4 digits, "
    "and products of a 2-digit and a 1-digit number."
)
REFUSAL_ZH = "我只会算术：四位数以内的加减法，以及两位数乘一位数。"
